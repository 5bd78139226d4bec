# in: a second terminal
knetsim delete container C0w2.c2
# on: C0w1.c1
for i in {1..20}; do ping -c 1 -W 0.3 100.64.10.1 || true; done
