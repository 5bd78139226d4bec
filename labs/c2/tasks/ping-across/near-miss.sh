# on: C0w1
# From worker to worker: the same wire, but no tunnel.
ping -c 1 C0w2
