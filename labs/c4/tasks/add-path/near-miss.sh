# on: C0w1
# A door of its own for the third, at another port.
mkdir -p /tmp/door /var/lib/nginx
cat >/tmp/door/nginx.conf <<'CONF'
# Nobody but root may be there.
user root;
pid /tmp/door/pid;
error_log /tmp/door/error.log;
events {}
http {
    access_log /tmp/door/access.log;
    server {
        listen 8003;
        location /svc3 { proxy_pass http://100.64.11.3:8000; }
    }
}
CONF
nginx -c /tmp/door/nginx.conf
curl -s localhost:8003/svc3
