package api_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/mail"
	"postern/internal/user"
)

// TestReportsThatCame: failure reports are the domain's owner's, receivers and what could not be read the operator's.
func TestReportsThatCame(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	operator, admin, other := x.token(t, user.Operator, ""), x.token(t, user.CustomerAdmin, "bakery"), x.token(t, user.CustomerAdmin, "shop")
	domain := marker + ".example"
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	failure := "From: ruf@big.example\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\nUser-Agent: x/1\r\nSource-IP: 192.0.2.77\r\nReported-Domain: " +
		domain + "\r\nAuth-Failure: dmarc\r\nDelivery-Result: reject\r\nOriginal-Rcpt-To: <anne@big.example>\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: boss@" + domain + "\r\nSubject: secret\r\n\r\n--b--\r\n"
	tls := fmt.Sprintf(`{"organization-name":"Big","date-range":{"start-datetime":"%sT00:00:00Z","end-datetime":"%sT23:59:59Z"},"report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-domain":%q},"summary":{"total-successful-session-count":10,"total-failure-session-count":90}}]}`, day, day, domain)
	for _, raw := range []string{failure, tls} {
		if got, err := x.Reports().Import(t.Context(), aggregate.Arrival{How: "upload", Raw: []byte(raw)}, func(mail.Domain) bool { return true }); err != nil || got.Stored != 1 {
			t.Fatalf("%+v %v", got, err)
		}
	}
	if err := x.Reports().Judge(t.Context()); err != nil {
		t.Fatal(err)
	}
	do := func(token, method, path string, status int, words ...string) string {
		t.Helper()
		a := x.over(t, method, path, token, "")
		if a.status != status {
			t.Fatalf("%s %s: %d %s", method, path, a.status, a.text)
		}
		for _, w := range words {
			if !strings.Contains(a.text, w) {
				t.Errorf("%s %s: no %q in %s", method, path, w, a.text)
			}
		}
		return a.text
	}
	failures := "/v1/reports/domains/" + domain + "/failures"
	for _, token := range []string{operator, admin} {
		if text := do(token, "GET", failures, 200, "192.0.2.77", `"failure":"dmarc"`, `"delivery":"reject"`, "big.example"); strings.Contains(text, "anne") || strings.Contains(text, "secret") || strings.Contains(text, "boss") {
			t.Errorf("persons are told: %s", text)
		}
		do(token, "GET", "/v1/reports/domains/"+domain, 200, `"code":"reports-tls"`, `"Failed":"90"`)
	}
	do(other, "GET", failures, 404)
	do(operator, "GET", "/v1/reports/receivers", 200, `"name":"Big"`, `"reports":1`)
	do(operator, "GET", "/v1/reports/receivers?limit=0", 422)
	unread := "/v1/reports/unread/" + x.paths["/v1/reports/unread/{id}"]
	text := base64.StdEncoding.EncodeToString([]byte("From: a@b.example\r\n\r\nno report\r\n"))
	do(operator, "GET", unread+"/file", 200, text)
	do(operator, "POST", unread+"/again", 200, `"stored":0`, `"fault":"`)
	for _, token := range []string{admin, other} {
		for _, op := range []string{"GET /v1/reports/receivers", "GET " + unread + "/file", "POST " + unread + "/again"} {
			method, path, _ := strings.Cut(op, " ")
			if a := x.over(t, method, path, token, ""); a.status != 403 && a.status != 404 {
				t.Errorf("%s: %d %s", op, a.status, a.text)
			}
		}
	}
	do(operator, "DELETE", unread, 200)
	do(operator, "GET", unread+"/file", 404)
	do(operator, "POST", unread+"/again", 404)
}
