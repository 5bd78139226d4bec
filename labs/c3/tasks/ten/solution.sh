# on: C0w1.c1
for i in {1..10}; do curl -s 100.64.10.3; done | sort | uniq -c
