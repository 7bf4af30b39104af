#!/bin/sh
cat "$RUNFILES_DIR/_main/tests/image/binaries/words.txt"
