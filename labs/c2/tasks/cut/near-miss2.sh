# on: C0w1
# The entry is gone, and nobody has looked at what follows.
bridge fdb del "$(bridge fdb show dev flannel.100 | awk '$3 == "10.0.0.4" { print $1 }')" dev flannel.100 dst 10.0.0.4
