# on: box
# To somebody else.
ping -c 1 10.0.0.3
