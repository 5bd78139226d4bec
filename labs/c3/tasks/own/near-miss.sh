# on: base
# The containers are there and answer, but by their own addresses.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
for name in a1 a2; do
    on C0w2 ip netns add $name
    on C0w2 env CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w2 cnitool add C0w2 /var/run/netns/$name
    on C0w1 ip netns exec c1 ping -c 1 "$(on C0w2 ip netns exec $name hostname -I | tr -d ' ')"
done
