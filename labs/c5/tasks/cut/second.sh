# on: base
# The other end of the same cable.
ip link set C0w1 down
for _ in {1..200}; do
    nsenter --net -t "$(pgrep -f '^knetsim: C1w1 *$')" ss -Hltn sport = :1028 | grep -q . || break
    sleep 0.1
done
