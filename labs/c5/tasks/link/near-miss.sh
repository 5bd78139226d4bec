# on: C1w1
# A connection to the right door, of somebody who says nothing.
timeout 1 bash -c 'exec 3<>/dev/tcp/C0w1/55671; sleep 5' || true
