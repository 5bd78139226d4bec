# on: box
echo some words
exit 3
