# on: C0w1.c1
for i in {1..20}; do ping -c 1 100.64.10.1; done
