package cli

import (
	"strings"
	"testing"

	"postern/internal/api"
)

func TestWebhookCommands(t *testing.T) {
	t.Parallel()
	hook := api.Hook{ID: "h4q7w2k9zt", Customer: "shop", HookSettings: api.HookSettings{Label: "my\x1b shop", URL: "https://hooks.shop.example/p"}, State: "failing", LastOutcome: "refused", LastStatus: 500, Taken: 12}
	run := answers(t, map[string]any{
		"/v1/webhooks": struct {
			api.Hooks
			api.NewHook
		}{api.Hooks{Hooks: []api.Hook{hook}}, api.NewHook{Hook: hook, Secret: "whsec_x"}},
		"/v1/webhooks/h4q7w2k9zt/pause": hook, "/v1/webhooks/h4q7w2k9zt/resume": hook, "/v1/webhooks/h4q7w2k9zt/replay": hook,
		"/v1/webhooks/h4q7w2k9zt/test": api.HookAttempt{Outcome: "refused", Status: 500}, "/v1/webhooks/h4q7w2k9zt": api.Done{Text: "webhook h4q7w2k9zt is taken away"},
	})
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"list"}, 0, "ID          OF    LABEL     STATE    TAKEN  ADDRESS                       LAST ANSWER\nh4q7w2k9zt  shop  my\ufffd shop  failing     12  https://hooks.shop.example/p  refused (500)\n"},
		{[]string{"add", "https://hooks.shop.example/p", "--customer", "shop"}, 0, "Webhook h4q7w2k9zt is made. Its secret is not shown again:\nwhsec_x\n"},
		{[]string{"pause", "h4q7w2k9zt"}, 0, "webhook h4q7w2k9zt is paused\n"},
		{[]string{"resume", "h4q7w2k9zt"}, 0, "webhook h4q7w2k9zt goes on where it was\n"},
		{[]string{"replay", "h4q7w2k9zt", "--since", "2h"}, 0, "Webhook h4q7w2k9zt is told everything again from there.\n"},
		{[]string{"remove", "h4q7w2k9zt"}, 0, "webhook h4q7w2k9zt is taken away\n"},
		{[]string{"test", "h4q7w2k9zt"}, 1, ""},
		{[]string{"replay", "h4q7w2k9zt"}, 2, ""},
	} {
		code, out, errs := run(append([]string{"webhook"}, tc.args...)...)
		if (code == 0) != (tc.code == 0) || out != tc.want {
			t.Errorf("%s: %d\n%q\nwant\n%q\n%s", strings.Join(tc.args, " "), code, out, tc.want, errs)
		}
	}
}
