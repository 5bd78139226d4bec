# on: base
# From where all processes can be seen, into the network namespace of each worker.
nsenter --net -t "$(pgrep -f '^knetsim: C0w3')" ping -c 1 10.0.0.3
nsenter --net -t "$(pgrep -f '^knetsim: C0w3')" ping -c 1 10.0.0.4
nsenter --net -t "$(pgrep -f '^knetsim: C0w2')" ping -c 1 10.0.0.3
