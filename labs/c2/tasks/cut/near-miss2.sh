# on: C0w1
# The neighbour entry is back and the FDB entry gone, and nobody has looked at what follows.
mac=$(bridge fdb show dev flannel.100 | awk '$3 == "10.0.0.4" { print $1 }')
for hop in $(ip route show dev flannel.100 | awk '{ print $3 }'); do
    ip neighbour show dev flannel.100 | grep -q "^$hop " ||
        ip neighbour add "$hop" lladdr "$mac" dev flannel.100 nud permanent
done
bridge fdb del "$mac" dev flannel.100 dst 10.0.0.4
