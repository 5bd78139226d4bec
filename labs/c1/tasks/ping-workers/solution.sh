# on: C0w1
ping -c 2 C0w2
ping -c 2 C0w3
# on: C0w2
ping -c 2 C0w3
