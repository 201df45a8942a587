package guard

import (
	"fmt"
	"net/http"
)

// Role is what a subject may do.
type Role string

// The roles. Ingest is that of sensors: it is refused here everywhere.
const (
	Public  Role = ""
	Read    Role = "read"
	Export  Role = "export"
	Operate Role = "operate"
	Ingest  Role = "ingest"
)

// ParseRole reads a role of a subject.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case Read, Export, Operate, Ingest:
		return r, nil
	}
	return "", fmt.Errorf("there is no role %q: read, export, operate or ingest", s)
}

// allows reports whether a subject of the role may do what needs another.
func (r Role) allows(needed Role, exportApart bool) bool {
	switch needed {
	case Public:
		return true
	case Read:
		return r == Read || r == Export || r == Operate
	case Export:
		return r == Operate || r == Export || r == Read && !exportApart
	case Operate:
		return r == Operate
	}
	return false
}

// Cost is how a route is bounded.
type Cost uint8

// The costs.
const (
	Cheap  Cost = iota
	Scan        // looks at everything: few at a time
	Stream      // lasts as long as the client wants
	Bulk        // an export: longer than others, and few at a time, apart from scans
)

// Access is what a route needs.
type Access struct {
	Role     Role
	Cost     Cost
	Loopback bool // public on loopback alone, else Role
	Audited  bool // noted before it is done, and refused if it cannot be
	Page     bool // for people: who has not logged in is led to the login
}

// Table says what each route needs, by the pattern of the standard mux.
func Table() map[string]Access {
	read, scan := Access{Role: Read}, Access{Role: Read, Cost: Scan}
	return map[string]Access{
		"GET /api/v1/identities":                                scan,
		"GET /api/v1/identities/{id}":                           read,
		"GET /api/v1/identities/{id}/attribution":               read,
		"GET /api/v1/identities/{id}/attackers":                 read,
		"GET /api/v1/identities/{id}/timeline":                  read,
		"GET /api/v1/identities/{id}/history":                   read,
		"GET /api/v1/identities/{id}/explain":                   read,
		"GET /api/v1/identities/{id}/explain/{primitive}":       read,
		"GET /api/v1/identities/{id}/similar":                   scan,
		"GET /api/v1/attackers":                                 scan,
		"GET /api/v1/attackers/{id}":                            read,
		"GET /api/v1/attackers/{id}/attribution":                read,
		"GET /api/v1/compare":                                   read,
		"GET /api/v1/primitives":                                read,
		"GET /api/v1/primitives/{primitive}/values":             scan,
		"GET /api/v1/values":                                    read,
		"GET /api/v1/suspicions":                                read,
		"GET /api/v1/suggestions":                               scan,
		"GET /api/v1/search":                                    scan,
		"GET /api/v1/overview":                                  scan,
		"GET /api/v1/events":                                    {Role: Read, Cost: Stream},
		"GET /api/v1/export/{format}":                           {Role: Export, Cost: Bulk, Audited: true},
		"GET /api/v1/export/events/{format}":                    {Role: Export, Cost: Bulk, Audited: true},
		"GET /api/v1/topology":                                  read,
		"GET /api/v1/tasks":                                     read,
		"GET /api/v1/dead-letters":                              scan,
		"GET /api/v1/dead-letters/{partition}/{offset}":         read,
		"POST /api/v1/dead-letters/{partition}/{offset}/replay": {Role: Operate, Audited: true},
		"POST /api/v1/identity-events":                          {Role: Operate, Audited: true},
		"GET /api/v1/audit":                                     {Role: Operate},
		"GET /api/v1/whoami":                                    read,
		"GET /api/v1/version":                                   read,
		"GET /api/v1/openapi.json":                              {Role: Read, Loopback: true},
		"GET /problems/{kind}":                                  {Role: Public},
		"GET /login":                                            {Role: Public},
		"POST /login":                                           {Role: Public},
		"POST /logout":                                          {Role: Public},
		"GET /auth/login":                                       {Role: Public},
		"GET /auth/callback":                                    {Role: Public},
		"GET /{$}":                                              {Role: Read, Cost: Scan, Page: true},
		"GET /identities":                                       {Role: Read, Cost: Scan, Page: true},
		"GET /identities/{id}":                                  {Role: Read, Page: true},
		"GET /identities/{id}/why/{primitive}":                  {Role: Read, Page: true},
		"GET /identities/{id}/history":                          {Role: Read, Page: true},
		"GET /compare":                                          {Role: Read, Page: true},
		"GET /suspicions":                                       {Role: Read, Page: true},
		"GET /suggestions":                                      {Role: Read, Cost: Scan, Page: true},
		"GET /values":                                           {Role: Read, Cost: Scan, Page: true},
		"GET /search":                                           {Role: Read, Cost: Scan, Page: true},
		"GET /operations":                                       {Role: Read, Cost: Scan, Page: true},
		"POST /identities/{id}/merge":                           {Role: Operate, Audited: true, Page: true},
		"POST /identities/{id}/unmerge":                         {Role: Operate, Audited: true, Page: true},
		"POST /dead-letters/{partition}/{offset}/replay":        {Role: Operate, Audited: true, Page: true},
		"GET /static/{name}":                                    {Role: Public},
	}
}

// Mux is the standard mux, with the table in front of each route.
type Mux struct {
	mux    *http.ServeMux
	guard  *Guard
	table  map[string]Access
	routes []string
	errs   []error
}

// HandleFunc registers a route, which has to stand in the table.
func (m *Mux) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(handler))
}

// Handle registers a route, which has to stand in the table.
func (m *Mux) Handle(pattern string, handler http.Handler) {
	access, ok := m.table[pattern]
	if !ok {
		m.errs = append(m.errs, fmt.Errorf("the route %q does not stand in the table of who may what", pattern))
		return
	}
	m.routes = append(m.routes, pattern)
	m.mux.Handle(pattern, m.guard.protect(pattern, access, handler))
}

// Err returns an error that names the routes that are not in the table.
func (m *Mux) Err() error {
	for _, err := range m.errs {
		return err
	}
	return nil
}

// Routes returns the patterns that were registered.
func (m *Mux) Routes() []string { return m.routes }

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.mux.ServeHTTP(w, r) }
