# on: base
# From where all processes can be seen, both at once.
pkill -f '[k]netsim serve S2-'
sleep 0.2
outside=$(pgrep -f '^knetsim: C0e1 *$')
nsenter --net -t "$outside" curl -s 10.0.0.3:8001/svc2
