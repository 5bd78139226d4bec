# on: C0w1
# Two of the three pairs; the third was forgotten.
ping -c 1 C0w2
ping -c 1 C0w3
