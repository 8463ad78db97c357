package look

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
)

// A browser that was sent to a page of somebody's own name may be told later that the name stands for our address (DNS
// rebinding): what that page asks of us is of the same origin then, and Host is that name. So whoever asks for a change has to
// be here by a name that nobody else can have given out:
//
//   - an address, localhost, or a name without a dot;
//   - this machine's own, or one in the domains that its resolver searches;
//   - any, over https: there the name has to have a certificate.
//
// Other names are served all that only reads.

// ownName says whether the name of a Host header, without the port, can only be ours.
func ownName(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	if !strings.Contains(name, ".") {
		return name != ""
	}
	for _, own := range ownDomains() {
		if name == own || strings.HasSuffix(name, "."+own) {
			return true
		}
	}
	return false
}

// ownDomains are names below which nobody else can have one that we would be asked by.
var ownDomains = sync.OnceValue(func() []string {
	// Reserved: RFC 6761, RFC 6762, and ICANN's resolution 2024.07.29.06 for internal.
	domains := []string{"localhost", "local", "internal"}
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") {
		domains = append(domains, strings.ToLower(name))
	}
	data, _ := os.ReadFile("/etc/resolv.conf") // without it there are none
	return append(domains, searchDomains(string(data))...)
})

// searchDomains reads the domains of a resolv.conf, but for those of one label, below which anybody can have a name.
func searchDomains(text string) (domains []string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "search" && fields[0] != "domain" {
			continue
		}
		for _, d := range fields[1:] {
			if d = strings.ToLower(strings.Trim(d, ".")); strings.Contains(d, ".") {
				domains = append(domains, d)
			}
		}
	}
	return domains
}

// hostName is the name that the client asked for, without the port.
func hostName(r *http.Request) string {
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		return name
	}
	return r.Host
}

// overHTTPS says whether the browser itself shows that the page was loaded by https, or from localhost: it sends Sec-Fetch-Site
// from such pages only, and no script can set it.
func overHTTPS(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "null" {
		return strings.HasPrefix(origin, "https://")
	}
	return r.TLS != nil || r.Header.Get("Sec-Fetch-Site") != ""
}

// mayChange says whether a request comes by a name under which changes are served.
func mayChange(r *http.Request) bool {
	return ownName(hostName(r)) || overHTTPS(r)
}

var (
	plainHost = regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]+$`)
	plainPath = regexp.MustCompile(`^/[A-Za-z0-9._~/-]*$`)
)

// baseURL is the folder of the page as the client knows it, for commands that the reader copies; it is empty when that isn't
// known: a proxy may have taken a prefix off the path, and most don't say so. Headers are anything that a client sends.
func baseURL(r *http.Request) string {
	host, prefix := r.Host, ""
	if proxied(r) {
		first := func(name string) string {
			value, _, _ := strings.Cut(r.Header.Get(name), ",")
			return strings.TrimSpace(value)
		}
		if prefix = first("X-Forwarded-Prefix"); prefix == "" {
			return ""
		}
		if h := first("X-Forwarded-Host"); h != "" {
			host = h
		}
	}
	path := strings.TrimSuffix(prefix, "/") + clientPath(r)
	if !plainHost.MatchString(host) || host[0] == '-' || !plainPath.MatchString(path) {
		return ""
	}
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return scheme + "://" + host + path[:strings.LastIndexByte(path, '/')+1]
}

// proxied says whether a proxy has passed the request on.
func proxied(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Real-Ip"} {
		if r.Header.Get(name) != "" {
			return true
		}
	}
	return false
}

// clientPath is the path that the client, or the last proxy, asked for: r.URL.Path may have lost a prefix on the way here.
func clientPath(r *http.Request) string {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil && u.Path != "" {
		return u.EscapedPath()
	}
	return r.URL.EscapedPath()
}

// addressURL is the same page by the address that the request has reached, which is nobody's name.
func addressURL(r *http.Request) string {
	address, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !plainHost.MatchString(address.String()) || r.TLS != nil {
		return ""
	}
	path := clientPath(r)
	if !plainPath.MatchString(path) {
		return ""
	}
	return "http://" + address.String() + path[:strings.LastIndexByte(path, '/')+1]
}
