"""What every service of this repository is built for."""

PLATFORMS = {
    "linux/amd64": "//platforms:server_amd64",
    "linux/arm64": "//platforms:server_arm64",
}
