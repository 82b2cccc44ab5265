package intake

import (
	"testing"

	"postern/internal/mail"
)

func TestClassOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, field string
		recipients  int
		size        int64
		want        int
	}{
		{"a letter", "", 1, 2000, transactional},
		{"a letter to a few", "", 5, 2000, transactional},
		{"to more", "", 6, 2000, normal},
		{"to many", "", 21, 2000, bulk},
		{"a large one", "", 1, 2 << 20, normal},
		{"newsletter", "List-Unsubscribe: <https://shop.example/u>\r\n", 1, 2000, bulk},
		{"mailing list", "List-Id: Friends <friends.shop.example>\r\n", 1, 2000, bulk},
		{"campaign", "Feedback-ID: 1:2:3:shop\r\n", 1, 2000, bulk},
		{"precedence bulk", "Precedence: Bulk\r\n", 1, 2000, bulk},
		{"precedence list", "precedence:  list \r\n", 1, 2000, bulk},
		{"precedence of old", "Precedence: first-class\r\n", 1, 2000, transactional},
		{"out of office", "Auto-Submitted: auto-replied; owner-email=\"a@b.example\"\r\n", 1, 2000, bulk},
		{"generated", "Auto-Submitted: auto-generated\r\n", 1, 2000, normal},
		{"generated and large", "Auto-Submitted: auto-generated (nightly)\r\n", 1, 2 << 20, normal},
		{"by hand", "Auto-Submitted: no\r\n", 1, 2000, transactional},
		{"near miss", "X-List-Id: friends\r\n", 1, 2000, transactional},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte("From: a@b.example\r\n"+tc.field+"\r\nhello\r\n"), mail.Limits{})
			if got := classOf(m, tc.recipients, tc.size); got != tc.want {
				t.Errorf("class %d, want %d", got, tc.want)
			}
		})
	}
}
