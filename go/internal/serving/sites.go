package serving

import (
	"net/http"
	"net/url"
	"strings"
)

// Any page that a browser shows can make it send GET requests to our address, as an image for example. It can't read the
// answer, but what the request does in the process is done. Browsers say where a request comes from:
//
//   - Sec-Fetch-Site, to https and to localhost: same-origin, none (typed, or a bookmark), same-site or cross-site.
//   - Origin, with requests by scripts that want to read the answer.
//   - Referer, with most others; a page may leave it out, so its absence proves nothing.
//
// Programs other than browsers send none of them. Specification: https://www.w3.org/TR/fetch-metadata/

// Refuse answers by 403 and returns true when a page of another site made the browser send the request. What changes or
// holds something in the process is refused from there in any case; else a link may lead to us.
func Refuse(w http.ResponseWriter, r *http.Request, holds bool) bool {
	from := elsewhere(r)
	if from == "" || !holds && followed(r) {
		return false
	}
	Error(w, http.StatusForbidden, "a page of another site asked for this ("+from+") - open it from the page of this server, or by its address")
	return true
}

// elsewhere says how a request shows that it comes from another site; it is empty when it doesn't.
func elsewhere(r *http.Request) string {
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "same-origin", "none":
		return ""
	case "":
	default:
		return "Sec-Fetch-Site: " + clean(site)
	}
	for _, name := range []string{"Origin", "Referer"} {
		if value := r.Header.Get(name); value != "" {
			if !FromHost(r, value) {
				return name + ": " + clean(value)
			}
			return ""
		}
	}
	return ""
}

// FromHost says whether the value of an Origin or Referer header is of the host that the client asked: a proxy may have put
// another in the place of that.
func FromHost(r *http.Request, value string) bool {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" {
		return false
	}
	host := u.Host
	if strings.EqualFold(host, r.Host) {
		return true
	}
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
	return strings.EqualFold(host, strings.TrimSpace(forwarded))
}

// followed says whether the request is a link that somebody followed, so that its answer is what the browser shows.
func followed(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "" {
		return r.Header.Get("Origin") == "" // browsers send it with scripts' requests, and with POST
	}
	dest := r.Header.Get("Sec-Fetch-Dest")
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && (dest == "document" || dest == "")
}

// clean makes a header's value fit for a text.
func clean(value string) string {
	value = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, value)
	return value[:min(len(value), 100)]
}
