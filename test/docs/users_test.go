package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/user"
)

// TestRightsAreThoseOfTheCode holds the table of rights and roles to the code, in both languages.
func TestRightsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	for page, yes := range map[string]string{"users.md": "yes", "users.fr.md": "oui"} {
		text, err := os.ReadFile(filepath.Join(root, "docs/operator", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, right := range user.Rights() {
			_, row, ok := strings.Cut(string(text), "| `"+string(right)+"` |")
			if !ok {
				t.Errorf("%s: right %s is missing", page, right)
				continue
			}
			row, _, _ = strings.Cut(row, "\n")
			cells := strings.Split(row, "|")
			for i, role := range user.Roles() {
				if said := strings.TrimSpace(cells[i+1]) == yes; said != slices.Contains(role.Rights(), right) {
					t.Errorf("%s: role %s, right %s: the page says %v", page, role, right, said)
				}
			}
		}
	}
}
