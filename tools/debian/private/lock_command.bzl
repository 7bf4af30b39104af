"""How the program that writes locks is started, for messages."""

# As people of this repository type it, and of one that has it as the module `slipway`.
LOCK_COMMAND = "bazel run " + ("//tools/debian:lock" if not Label("//tools/debian:lock").repo_name else "@slipway//tools/debian:lock")
