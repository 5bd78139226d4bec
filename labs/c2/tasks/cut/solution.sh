# on: C0w1
bridge fdb show dev flannel.100
# The hardware address in the line with `dst 10.0.0.4`:
mac=$(bridge fdb show dev flannel.100 | awk '/ 10.0.0.4 / { print $1 }')
bridge fdb del $mac dev flannel.100 dst 10.0.0.4
# in: a second terminal
# Nothing comes back.
c2=$(knetsim exec C0w2.c2 -- hostname -I)
knetsim exec C0w1.c1 -- ping -c 2 -W 1 $c2 || true
