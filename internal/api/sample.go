package api

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/user"
)

// sample is a request as an example: what the documentation shows, and what tests send.
type sample struct {
	path  map[string]string
	query [][2]string
	body  any
}

const (
	sampleMessage = "01KA8ZKQ4D2M6X9V5T3R7W1Y0B"
	sampleUser    = "b7k2m9x4q8"
	sampleHook    = "h4q7w2k9zt"
	sampleDossier = "d4k7m2x9"
)

// samplePath are values of path parameters.
var samplePath = map[string]string{"id": sampleMessage, "user": "shop-1", "domain": "shop.example", "selector": "p20261122", "session": "s3t8"}

// sampleTime is a time in examples.
var sampleTime = time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)

// samples are the requests of operations that need more than their path, by id.
func samples() map[string]sample {
	whole := []byte("From: a@shop.example\r\nSubject: Hello\r\n\r\nHello\r\n")
	out := map[string]sample{
		"send":                {body: SendRequest{SendMessage: sampleSend()}},
		"send-batch":          {body: SendBatch{Messages: []SendMessage{sampleSend()}}},
		"list-messages":       {query: [][2]string{{"state", "queued"}, {"limit", "50"}}},
		"list-held":           {query: [][2]string{{"limit", "50"}}},
		"explain-message":     {query: [][2]string{{"lang", "fr"}}},
		"hold-message":        {body: HoldRequest{Reason: "asked for by phone"}},
		"ask-about-message":   {body: Question{Text: "Please look at it: the invoice is genuine."}},
		"search":              {query: [][2]string{{"address", "bob@remote.example"}, {"limit", "50"}}},
		"find-problem":        {body: ProblemReport{Text: "550 5.7.1 rejected, bob@remote.example, yesterday at ten"}},
		"look-return-address": {query: [][2]string{{"text", "b+abc@bounces.example.org"}}},

		"figures":             {query: [][2]string{{"since", "2026-12-17T00:00:00Z"}, {"until", "2026-12-24T00:00:00Z"}, {"step", "day"}}},
		"figures-by-provider": {query: [][2]string{{"since", "2026-12-17T00:00:00Z"}, {"until", "2026-12-24T00:00:00Z"}}},
		"figures-by-test":     {query: [][2]string{{"since", "2026-12-17T00:00:00Z"}, {"until", "2026-12-24T00:00:00Z"}}},

		"figures-of-test":     {path: map[string]string{"test": "INVALID_DATE"}, query: [][2]string{{"since", "2026-12-17T00:00:00Z"}, {"until", "2026-12-24T00:00:00Z"}, {"step", "day"}}},
		"figures-by-customer": {query: [][2]string{{"figure", "bounced"}, {"limit", "20"}}},

		"check":               {query: [][2]string{{"target", "shop.example"}, {"language", "fr"}}},
		"list-watched":        {query: [][2]string{{"listed", "true"}, {"limit", "50"}}},
		"show-watched":        {path: map[string]string{"target": "192.0.2.25"}},
		"look-watched":        {path: map[string]string{"target": "192.0.2.25"}},
		"list-listings":       {query: [][2]string{{"open", "true"}, {"own", "true"}}},
		"list-listing-events": {query: [][2]string{{"target", "192.0.2.25"}}},
		"list-dossiers":       {query: [][2]string{{"state", "open"}, {"lang", "fr"}}},
		"open-dossier":        {body: OpenDossier{Listing: sampleDossier}},
		"show-dossier":        {path: map[string]string{"dossier": sampleDossier}, query: [][2]string{{"lang", "fr"}}},
		"dossier-request":     {path: map[string]string{"dossier": sampleDossier}, query: [][2]string{{"lang", "fr"}}},
		"note-dossier":        {path: map[string]string{"dossier": sampleDossier}, body: DossierNote{Text: "The customer's site was cleaned; the script is gone."}},
		"tick-dossier":        {path: map[string]string{"dossier": sampleDossier}, body: DossierTick{Step: "stop", Done: true, Note: "login blocked at 14:10"}},
		"move-dossier":        {path: map[string]string{"dossier": sampleDossier}, body: DossierMove{State: "requested"}},
		"refresh-dossier":     {path: map[string]string{"dossier": sampleDossier}},
		"add-domain":          {body: DomainRequest{Customer: "shop", Domain: "shop.example"}},
		"challenge-domain":    {query: [][2]string{{"customer", "shop"}}},

		"show-customer":    {path: map[string]string{"id": "shop"}},
		"add-customer":     {body: Customer{ID: "shop2", CustomerSettings: CustomerSettings{Name: "Boutique", Contact: "owner@shop2.example", Domains: []string{"shop2.example"}}}},
		"update-customer":  {path: map[string]string{"id": "shop"}, body: CustomerSettings{Name: "Boutique", Contact: "owner@shop.example", Domains: []string{"shop.example"}, Threshold: 3}},
		"delete-customer":  {path: map[string]string{"id": "shop"}},
		"suspend-customer": {path: map[string]string{"id": "shop"}, body: Suspension{Reason: "its password leaked"}},
		"resume-customer":  {path: map[string]string{"id": "shop"}},

		"add-credential":    {body: CredentialRequest{CredentialSettings: CredentialSettings{Label: "shop front"}}},
		"update-credential": {body: CredentialSettings{Label: "shop front", CredentialBounds: CredentialBounds{MessagesDay: 500, Networks: []string{"192.0.2.0/24"}}}},
		"list-keys":         {query: [][2]string{{"domain", "shop.example"}}},
		"add-key":           {body: KeyRequest{Domain: "shop.example", Algorithm: "rsa"}},

		"list-suppressed":   {query: [][2]string{{"domain", "remote.example"}, {"limit", "50"}}},
		"show-suppressed":   {query: [][2]string{{"address", "bob@remote.example"}}},
		"export-suppressed": {query: [][2]string{{"limit", "1000"}}},
		"suppress":          {body: SuppressRequest{Address: "gone@remote.example", Note: "asked to be left alone"}},
		"lift-suppressed":   {body: LiftRequest{Address: "gone@remote.example", Why: "writes to us again"}},
		"import-suppressed": {body: ImportRequest{CSV: "address,reason\ngone@remote.example,unsubscribed\n"}},

		"list-reports":       {query: [][2]string{{"domain", "shop.example"}, {"limit", "50"}}},
		"import-report":      {body: ReportImport{Name: "remote.example!shop.example!1793491200!1793577599.xml", Data: []byte(sampleReport)}},
		"show-report-domain": {query: [][2]string{{"days", "28"}}},
		"mark-report-source": {body: ReportMark{Source: "198.51.100.7", Mark: "foreign"}},
		"drop-unread-report": {path: map[string]string{"id": "000651f2a3b4c5d60011223344556677"}},
		"show-unread-report": {path: map[string]string{"id": "000651f2a3b4c5d60011223344556677"}},
		"read-report-again":  {path: map[string]string{"id": "000651f2a3b4c5d60011223344556677"}},

		"set-scores":   {body: ScoresRequest{Points: map[string]float64{"INVALID_DATE": 0.5}}},
		"unset-scores": {body: UnsetRequest{Tests: []string{"INVALID_DATE"}}},
		"add-entry":    {body: ListEntry{Kind: "allow", Entry: "from:news@shop.example", Note: "our own newsletter"}},
		"remove-entry": {body: ListEntry{Kind: "allow", Entry: "from:news@shop.example"}},
		"what-if":      {body: WhatIfRequest{Points: map[string]float64{"INVALID_DATE": 3}, Limit: 1000}},
		"learn":        {body: LearnRequest{Class: "ham", Messages: [][]byte{whole}}},
		"classify":     {body: ClassifyRequest{Message: whole}},
	}
	maps.Copy(out, samplesOfPeople())
	return out
}

// samplesOfPeople are those about users, webhooks, lanes and what is measured.
func samplesOfPeople() map[string]sample {
	return map[string]sample{
		"add-user":     {body: UserRequest{Address: "anna@shop.example", Name: "Anna", Role: user.CustomerReader, Customer: "shop", Language: "en"}},
		"list-users":   {query: [][2]string{{"search", "anna"}, {"limit", "50"}}},
		"show-user":    {path: map[string]string{"id": sampleUser}},
		"update-user":  {path: map[string]string{"id": sampleUser}, body: UserChange{Address: "anna@shop.example", Name: "Anna", Role: user.CustomerAdmin, Language: "en"}},
		"add-token":    {body: TokenRequest{User: "anna@shop.example", Label: "monitoring", Rights: []user.Right{user.MailRead}, Ends: sampleTime}},
		"list-history": {query: [][2]string{{"act", "message.release"}, {"limit", "50"}}},

		"add-webhook":        {body: HookRequest{HookSettings: HookSettings{Label: "my shop", URL: "https://hooks.shop.example/postern", Events: []string{"message.bounced", "suppression.added"}}}},
		"update-webhook":     {path: map[string]string{"id": sampleHook}, body: HookSettings{Label: "my shop", URL: "https://hooks.shop.example/postern"}},
		"show-webhook":       {path: map[string]string{"id": sampleHook}},
		"delete-webhook":     {path: map[string]string{"id": sampleHook}},
		"rotate-webhook":     {path: map[string]string{"id": sampleHook}},
		"pause-webhook":      {path: map[string]string{"id": sampleHook}},
		"resume-webhook":     {path: map[string]string{"id": sampleHook}},
		"try-webhook":        {path: map[string]string{"id": sampleHook}},
		"replay-webhook":     {path: map[string]string{"id": sampleHook}, body: ReplayRequest{Since: sampleTime}},
		"send-webhook-again": {path: map[string]string{"id": sampleHook}, body: AgainRequest{Event: "4711"}},
		"webhook-attempts":   {path: map[string]string{"id": sampleHook}},

		"pause-lane":       {body: PauseRequest{Lane: "orange", Until: sampleTime, Reason: "their postmaster asked"}},
		"retry-lane":       {body: LaneRequest{Lane: "orange"}},
		"change-notices":   {path: map[string]string{"id": "shop"}, body: NoticeSettings{Contact: "owner@shop.example", Language: "fr"}},
		"lift-reaction":    {path: map[string]string{"id": "r7"}},
		"reaction-history": {query: [][2]string{{"lane", "orange"}}},
	}
}

// sampleReport is a DMARC report in examples.
const sampleReport = `<feedback><report_metadata><org_name>remote.example</org_name><report_id>1</report_id><date_range><begin>1793491200</begin><end>1793577599</end></date_range></report_metadata><policy_published><domain>shop.example</domain><p>none</p></policy_published><record><row><source_ip>198.51.100.7</source_ip><count>1</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row><identifiers><header_from>shop.example</header_from></identifiers><auth_results/></record></feedback>`

// sampleSend is a message in examples.
func sampleSend() SendMessage {
	return SendMessage{From: &SendBox{Address: "news@shop.example", Name: "The Shop"}, To: []SendRecipient{{SendBox: SendBox{Address: "bob@remote.example", Name: "Bob"},
		Substitutions: map[string]string{"name": "Bob"}}}, Subject: "Your order, {{name}}", Text: "Hello {{name}},\n\nyour order is ready.\n",
		HTML: "<p>Hello {{name}},</p><p>your order is ready.</p>"}
}

// target is the path and query of an operation's sample, below /api.
func (op *operation) target() string {
	out := op.Path
	for {
		from := strings.IndexByte(out, '{')
		if from < 0 {
			break
		}
		to := strings.IndexByte(out, '}')
		name := out[from+1 : to]
		value := op.sample.path[name]
		if value == "" {
			value = samplePath[name]
		}
		out = out[:from] + value + out[to+1:]
	}
	for i, q := range op.sample.query {
		sep := "&"
		if i == 0 {
			sep = "?"
		}
		out += sep + q[0] + "=" + strings.NewReplacer("@", "%40", "+", "%2B", " ", "%20").Replace(q[1])
	}
	return out
}

// exemplify puts the samples into the document. An operation with a body and no sample is refused.
func (s *server) exemplify() error {
	all := samples()
	maps.Copy(all, signalSamples())
	for _, op := range s.order {
		op.sample = all[op.OperationID]
		delete(all, op.OperationID)
		item := s.api.OpenAPI().Paths[op.Path]
		described := map[string]*huma.Operation{http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete}[op.Method]
		op.Operation = described
		if described.RequestBody == nil {
			continue
		}
		if op.sample.body == nil {
			return fmt.Errorf("operation %s: has a body and no sample of it", op.OperationID)
		}
		for _, m := range described.RequestBody.Content {
			m.Example = op.sample.body
		}
	}
	for id := range all {
		return fmt.Errorf("there is a sample of operation %s, which does not exist", id)
	}
	return nil
}
