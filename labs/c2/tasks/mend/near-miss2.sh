# on: C0w1
# The right entry, and nobody has looked whether it helps.
for mac in $(ip neighbour show dev flannel.100 | awk '{ print $3 }'); do
    bridge fdb show dev flannel.100 | grep -q "$mac" ||
        bridge fdb append "$mac" dev flannel.100 dst 10.0.0.4
done
