# on: C0w1
# Both paths, but both to service one.
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
        listen 8001;
        location / { proxy_pass http://100.64.11.1:8000; }
    }
}
CONF
nginx -c /tmp/door/nginx.conf
