-- Clients only: no federation, TLS always, and everybody with an account is a contact of everybody else.
local domain = os.getenv("XMPP_DOMAIN")

data_path = "/var/lib/prosody"
pidfile = "/tmp/prosody.pid"
log = { info = "*console" }
interfaces = { "*" }
http_ports = { }
https_ports = { }
s2s_ports = { }
authentication = "internal_hashed"
c2s_require_encryption = true
ssl = { certificate = "/var/lib/prosody/tls/server.crt"; key = "/var/lib/prosody/tls/server.key" }
groups_file = "/var/lib/prosody/groups.txt"
modules_enabled = {
	"blocklist"; "carbons"; "csi_simple"; "disco"; "groups"; "offline"; "pep"; "ping"; "private"; "roster";
	"saslauth"; "smacks"; "tls"; "vcard4"; "version";
}
modules_disabled = { "s2s"; "admin_shell" }

VirtualHost(domain)
