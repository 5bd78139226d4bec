# on: base
# In a second terminal, and for ic3 on C0w3 likewise:
#   knetsim delete container C0w2.ic2
#   knetsim create container C0w2.ic2 -l app=two -- knetsim serve S2-W2
# Here each server again in its old container.
on() {
    local node=$(pgrep -f "^knetsim: $1 *\$")
    nsenter --net --mount --uts -t "$node" "${@:2}"
}
on C0w2 ip netns exec ic2 setsid knetsim serve S2-W2 >/dev/null 2>&1 &
on C0w3 ip netns exec ic3 setsid knetsim serve S2-W3 >/dev/null 2>&1 &
sleep 0.5
