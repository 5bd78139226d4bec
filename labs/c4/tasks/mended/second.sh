# on: base
# Each server again in its old container.
on() { nsenter --net --mount --uts -t "$(pgrep -f "^knetsim: $1 *\$")" "${@:2}"; }
on C0w2 ip netns exec ic2 setsid knetsim serve S2-W2 >/dev/null 2>&1 &
on C0w3 ip netns exec ic3 setsid knetsim serve S2-W3 >/dev/null 2>&1 &
sleep 0.5
