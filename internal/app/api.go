package app

import "postern/internal/api"

// apiSettings is the configuration in force as the API tells it.
func (a *App) apiSettings() []api.Setting {
	all := a.config.Load().Settings()
	out := make([]api.Setting, 0, len(all))
	for _, x := range all {
		out = append(out, api.Setting(x))
	}
	return out
}
