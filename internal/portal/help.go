package portal

// helps reports whether there is a page that explains a test.
func (s *site) helps(test string) bool {
	return s.o.Users != nil && s.o.Catalog.Has("test."+test+".name") && s.o.Catalog.Has("test."+test+".explain")
}
