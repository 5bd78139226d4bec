# on: C0w1
# The neighbour entry, which is another table.
mac=$(bridge fdb show dev flannel.100 | awk '$3 == "10.0.0.4" { print $1 }')
ip neighbour del "$(ip neighbour show dev flannel.100 | awk -v mac="$mac" '$3 == mac { print $1 }')" dev flannel.100
