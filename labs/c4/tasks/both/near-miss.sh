# on: C0w1
# The worker itself asks, and not c1.
for _ in {1..40}; do curl -s 100.64.11.1:8000; done
