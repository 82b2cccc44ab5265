package api_test

import (
	"strings"
	"testing"

	"postern/internal/suppression"
	"postern/internal/user"
)

// TestSuppressionOfCustomers: with a token, a customer's list can be filled, but in nobody else's name, and what an operator put there stays.
func TestSuppressionOfCustomers(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin, operator := x.token(t, user.CustomerAdmin, "shop"), x.token(t, user.Operator, "")
	do := func(token, path, body string, status int, words ...string) {
		t.Helper()
		a := x.over(t, "POST", path, token, body)
		if a.status != status {
			t.Fatalf("POST %s %s: %d %s", path, body, a.status, a.text)
		}
		for _, w := range words {
			if !strings.Contains(a.text, w) {
				t.Errorf("POST %s: no %q in %s", path, w, a.text)
			}
		}
	}
	do(operator, "/v1/suppression", `{"address":"stopped@b.example","customer":"shop","note":"a trap"}`, 200)
	do(operator, "/v1/suppression/import", `{"csv":"address\nall@b.example\n"}`, 200, "1 of 1 rows")
	do(operator, "/v1/suppression/import", `{"csv":"address,customer\nall@b.example,nobody\n"}`, 404)
	do(admin, "/v1/suppression/import", `{"csv":"address,by,reason\nann@b.example,operator:root,operator\nstopped@b.example,,complaint\n"}`, 200, "1 of 2 rows")
	do(admin, "/v1/suppression/import", `{"csv":"address,by\nbob@b.example,nonsense\n"}`, 422, "line 2")
	do(admin, "/v1/suppression/import", `{"csv":"address\nbob@b.example\n","check":true}`, 200, "1 rows can be taken")
	do(admin, "/v1/suppression", `{"address":"stopped@b.example","reason":"complaint"}`, 200, "operator of the gateway")
	do(admin, "/v1/suppression", `{"address":"cid@b.example","reason":"operator"}`, 200)
	do(admin, "/v1/suppression/lift", `{"address":"stopped@b.example"}`, 403, "operators-entry")
	do(admin, "/v1/suppression/lift", `{"address":"ann@b.example"}`, 200)
	do(admin, "/v1/suppression", `{"address":"ann@b.example"}`, 200)
	all, _, err := x.Suppression().List(t.Context(), suppression.Query{Customer: "shop", Own: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		name := suppression.FormatAddress(e.Address)
		if own := name != "stopped@b.example"; own != (strings.HasPrefix(e.By, "sender:") && e.Reason == suppression.BySender) {
			t.Errorf("%s: %s by %s", name, e.Reason, e.By)
		}
	}
	if len(all) != 3 {
		t.Errorf("%d entries", len(all))
	}
}
