// Package guard says who may do what by the web interface, and bounds what anybody
// can cost: credentials (tokens, OIDC, client certificates), roles, the check of the
// Host header, protection against other sites, limits, the headers of answers, and the
// audit file.
//
// Every route stands in one table ([Table]) with the role that it needs. A route that
// is registered and does not stand there is an error of the start, not a route that
// everybody may use. Nothing here knows what a route does.
package guard
