# on: C0w1.c1
# One connection after the other, without curl.
for _ in {1..10}; do
    exec 3<>/dev/tcp/100.64.10.3/80
    printf 'GET / HTTP/1.0\r\n\r\n' >&3
    tail -n 1 <&3
done | sort | uniq -c
