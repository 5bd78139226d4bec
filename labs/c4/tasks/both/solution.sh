# on: C0w1.c1
for i in {1..20}; do curl -s 100.64.11.1:8000; done
