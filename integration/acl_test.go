//go:build integration

package integration

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"handprint/integration/lab"
)

// acl is one operation that a principal is allowed on one resource.
type acl struct {
	resource kmsg.ACLResourceType
	name     string
	prefixed bool
	op       kmsg.ACLOperation
}

func (a acl) String() string { return fmt.Sprintf("%s on %s %s", a.op, a.resource, a.name) }

// implied reports whether another of the operations includes this one: Kafka lets
// whoever may read or write a resource describe it.
func (a acl) implied(all []acl) bool {
	if a.op != kmsg.ACLOperationDescribe {
		return false
	}
	for _, b := range all {
		if b.resource == a.resource && b.name == a.name && (b.op == kmsg.ACLOperationRead || b.op == kmsg.ACLOperationWrite || b.op == kmsg.ACLOperationDelete) {
			return true
		}
	}
	return false
}

// resources are the words by which the page tells what a row is about.
var resources = map[string]kmsg.ACLResourceType{
	"topic": kmsg.ACLResourceTypeTopic, "group": kmsg.ACLResourceTypeGroup,
	"transactional id": kmsg.ACLResourceTypeTransactionalId, "cluster": kmsg.ACLResourceTypeCluster,
}

var quoted = regexp.MustCompile("`([^`]+)`")

// documentedACLs returns what docs/operations.md says a principal needs, for the
// names of an application.
func documentedACLs(t *testing.T, principal string, app *lab.App) []acl {
	t.Helper()
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "\n### ACLs\n")
	if !found {
		t.Fatal("docs/operations.md has no section ACLs")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var acls []acl
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.TrimSpace(cells[1]) != principal {
			continue
		}
		what, a := strings.TrimSpace(cells[2]), acl{prefixed: strings.Contains(cells[2], "prefix")}
		for word, r := range resources {
			if strings.Contains(what, word) {
				a.resource = r
			}
		}
		var names []string
		for _, name := range quoted.FindAllStringSubmatch(what, -1) {
			names = append(names, strings.Replace(name[1], "soc", app.Name, 1))
		}
		switch {
		case a.resource == kmsg.ACLResourceTypeCluster:
			names = []string{"kafka-cluster"}
		case what == "all topics":
			names = app.Topics()
		case a.resource == kmsg.ACLResourceTypeTopic:
			for i := range names {
				names[i] = app.Name + "." + names[i]
			}
		}
		for _, name := range names {
			a.name = name
			for op := range strings.SplitSeq(cells[3], ",") {
				if a.op, err = kmsg.ParseACLOperation(strings.TrimSpace(op)); err != nil {
					t.Fatalf("docs/operations.md: %q: %v", line, err)
				}
				acls = append(acls, a)
			}
		}
	}
	if len(acls) == 0 {
		t.Fatalf("docs/operations.md has no ACLs for %q", principal)
	}
	return acls
}

// allow gives a user a permission.
func (g *guarded) allow(user string, a acl) {
	g.t.Helper()
	b := kadm.NewACLs().Allow("User:" + user).AllowHosts("*").Operations(a.op)
	if a.prefixed {
		b.ResourcePatternType(kmsg.ACLResourcePatternTypePrefixed)
	}
	switch a.resource {
	case kmsg.ACLResourceTypeTopic:
		b.Topics(a.name)
	case kmsg.ACLResourceTypeGroup:
		b.Groups(a.name)
	case kmsg.ACLResourceTypeTransactionalId:
		b.TransactionalIDs(a.name)
	case kmsg.ACLResourceTypeCluster:
		b.Clusters()
	}
	resp, err := g.admin.CreateACLs(g.ctx, b)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, r := range resp {
		if r.Err != nil {
			g.t.Fatalf("allowing %s %v: %v", user, a, r.Err)
		}
	}
}
