echo "There is nothing to say who runs this"
