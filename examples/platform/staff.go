package main

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"riverqueue.com/riverui"
)

//go:embed staff
var staffFiles embed.FS

// pages are the pages for the staff. Nothing of a person is in a URL: cards have ids of their own there.
type pages struct {
	*service
	sessions  *scs.SessionManager
	templates *template.Template
}

// staffPages serves /staff/: whoever is signed in looks, and who may decide decides. secure: browsers come by TLS alone.
func (s *service) staffPages(ctx context.Context, secure bool) (http.Handler, error) {
	p := &pages{service: s, sessions: scs.New()}
	p.sessions.Store, p.sessions.HashTokenInStore = sessions{s.store}, true
	p.sessions.Lifetime, p.sessions.IdleTimeout = 12*time.Hour, time.Hour
	p.sessions.Cookie.Name, p.sessions.Cookie.Path = "staff", "/staff"
	p.sessions.Cookie.Secure, p.sessions.Cookie.SameSite, p.sessions.Cookie.Persist = secure, http.SameSiteStrictMode, false
	p.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) { p.fail(w, r, err) }
	var err error
	if p.templates, err = template.New("").Funcs(template.FuncMap{"word": word, "time": inChina}).ParseFS(staffFiles, "staff/*.html"); err != nil {
		return nil, err
	}
	queues, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(s.jobs, nil), JobListHideArgsByDefault: true, Logger: s.logger, Prefix: "/staff/river",
	})
	if err != nil {
		return nil, err
	}
	if err := queues.Start(ctx); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /staff/style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, staffFiles, "staff/style.css") })
	mux.HandleFunc("GET /staff/sign-in", func(w http.ResponseWriter, r *http.Request) { p.show(w, r, staff{}, "sign-in.html", nil) })
	mux.HandleFunc("POST /staff/sign-in", p.signIn)
	mux.HandleFunc("GET /staff/{$}", p.permitted(roleLook, p.overview))
	mux.HandleFunc("POST /staff/search", p.permitted(roleLook, p.search))
	mux.HandleFunc("GET /staff/members/{id}", p.permitted(roleLook, p.member))
	mux.HandleFunc("POST /staff/members/{id}/phone", p.permitted(roleLook, p.phone))
	mux.HandleFunc("POST /staff/members/{id}/details", p.permitted(roleDecide, p.details))
	mux.HandleFunc("POST /staff/members/{id}/points", p.permitted(roleDecide, p.points))
	mux.HandleFunc("POST /staff/members/{id}/invalidation", p.permitted(roleDecide, p.invalidation))
	mux.HandleFunc("POST /staff/decisions/{job}", p.permitted(roleDecide, p.decide))
	mux.HandleFunc("GET /staff/imports/{id}", p.permitted(roleLook, p.importPage))
	mux.HandleFunc("POST /staff/imports", p.permitted(roleDecide, p.upload))
	mux.HandleFunc("POST /staff/imports/{id}/stop", p.permitted(roleDecide, p.stop))
	mux.HandleFunc("GET /staff/records", p.permitted(roleDecide, p.records))
	mux.HandleFunc("GET /staff/accounts", p.permitted(roleDecide, p.accounts))
	mux.HandleFunc("POST /staff/accounts", p.permitted(roleDecide, p.addAccount))
	mux.HandleFunc("POST /staff/accounts/disable", p.permitted(roleDecide, p.disableAccount))
	mux.HandleFunc("GET /staff/password", p.permitted("", func(w http.ResponseWriter, r *http.Request, who staff) error {
		p.show(w, r, who, "password.html", nil)
		return nil
	}))
	mux.HandleFunc("POST /staff/password", p.permitted("", p.password))
	mux.HandleFunc("POST /staff/sign-out", p.permitted("", func(w http.ResponseWriter, r *http.Request, _ staff) error {
		return p.redirect(w, r, "/staff/", p.sessions.Destroy(r.Context()))
	}))
	mux.HandleFunc("/staff/river/", p.permitted(roleDecide, func(w http.ResponseWriter, r *http.Request, who staff) error {
		if r.Method != http.MethodGet {
			if err := s.store.record(r.Context(), nil, who.Name, "任务队列 "+r.URL.Path, ""); err != nil {
				return err
			}
		}
		w.Header().Del("Content-Security-Policy") // its page has a script of its own
		queues.ServeHTTP(w, r)
		return nil
	}))
	headers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if r.URL.Path != "/staff/imports" {
			r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		}
		mux.ServeHTTP(w, r)
	})
	return http.NewCrossOriginProtection().Handler(p.sessions.LoadAndSave(headers)), nil
}

// permitted serves those who are signed in and have the role; "" is any, also with a password that is to be changed.
func (p *pages) permitted(role string, serve func(http.ResponseWriter, *http.Request, staff) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := p.sessions.GetString(r.Context(), "name")
		who, err := p.store.staffNamed(r.Context(), name)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			p.fail(w, r, err)
			return
		case err != nil, who.Disabled, who.Version != p.sessions.GetInt64(r.Context(), "version"):
			http.Redirect(w, r, "/staff/sign-in", http.StatusSeeOther)
			return
		case who.MustChange && role != "":
			http.Redirect(w, r, "/staff/password", http.StatusSeeOther)
			return
		case role == roleDecide && who.Role != roleDecide:
			p.tell(w, r, who, http.StatusForbidden, "没有这个权限")
			return
		}
		err = serve(w, r, who)
		switch {
		case err == nil:
		case errors.Is(err, errNoMember), errors.Is(err, sql.ErrNoRows):
			p.tell(w, r, who, http.StatusNotFound, "没有找到")
		default:
			p.fail(w, r, err)
		}
	}
}

func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	p.logger.ErrorContext(r.Context(), "a page of the staff failed", "pattern", r.Pattern, "error", err)
	p.tell(w, r, staff{}, http.StatusServiceUnavailable, "暂时无法处理，请稍后再试")
}

// redirect sends the browser redirect another page when a form was dealt with.
func (p *pages) redirect(w http.ResponseWriter, r *http.Request, url string, err error) error {
	if err == nil {
		http.Redirect(w, r, url, http.StatusSeeOther) //nolint:gosec // it begins with /staff/
	}
	return err
}

// tell shows a sentence.
func (p *pages) tell(w http.ResponseWriter, r *http.Request, who staff, status int, sentence string) {
	p.write(w, r, status, who, "sentence.html", sentence)
}

// show shows a page.
func (p *pages) show(w http.ResponseWriter, r *http.Request, who staff, page string, data any) {
	p.write(w, r, http.StatusOK, who, page, data)
}

func (p *pages) write(w http.ResponseWriter, r *http.Request, status int, who staff, page string, data any) {
	var body bytes.Buffer
	err := p.templates.ExecuteTemplate(&body, page, struct {
		Who    staff
		Decide bool
		Data   any
	}{who, who.Role == roleDecide, data})
	if err != nil {
		p.logger.ErrorContext(r.Context(), "a page of the staff failed", "page", page, "error", err)
		http.Error(w, "暂时无法处理，请稍后再试", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

func (p *pages) signIn(w http.ResponseWriter, r *http.Request) {
	who, err := p.store.signIn(r.Context(), r.PostFormValue("name"), r.PostFormValue("password"))
	switch {
	case errors.Is(err, errSignIn), errors.Is(err, errTooSoon), errors.Is(err, errBusySignIn):
		p.write(w, r, http.StatusForbidden, staff{}, "sign-in.html", err.Error())
		return
	case err == nil:
		err = p.begin(r, who)
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/staff/", http.StatusSeeOther)
}

// begin begins a session under a new token.
func (p *pages) begin(r *http.Request, who staff) error {
	p.sessions.Put(r.Context(), "name", who.Name)
	p.sessions.Put(r.Context(), "version", who.Version)
	return p.sessions.RenewToken(r.Context())
}

func (p *pages) password(w http.ResponseWriter, r *http.Request, who staff) error {
	_, err := p.store.signIn(r.Context(), who.Name, r.PostFormValue("old"))
	if err == nil && r.PostFormValue("new") != r.PostFormValue("again") {
		err = errors.New("两次输入的新密码不一致")
	} else if err == nil {
		err = p.store.setPassword(r.Context(), who.Name, r.PostFormValue("new"))
	}
	if err != nil {
		p.write(w, r, http.StatusBadRequest, who, "password.html", err.Error())
		return nil
	}
	if err := p.store.record(r.Context(), nil, who.Name, "修改密码", ""); err != nil {
		return err
	}
	if who, err = p.store.staffNamed(r.Context(), who.Name); err == nil {
		err = p.begin(r, who)
	}
	return p.redirect(w, r, "/staff/", err)
}

// china is where the staff's clocks are.
var china = time.FixedZone("", 8*60*60)

func inChina(t milliseconds) string {
	return time.UnixMilli(int64(t)).In(china).Format("2006-01-02 15:04:05")
}

// words are those of the page for what the program calls otherwise.
var words = map[string]string{
	"EFFECTIVE": "有效", "INVALID": "已失效", "UNACTIVATED": "未激活", "EXPIRED": "已过期",
	"notification": "通知", "balance": "积分同步", "details": "等级与手机号", "invalidation": "作废", "import": "导入", "cleaning": "清理",
	"available": "等待", "scheduled": "稍后", "running": "进行中", "retryable": "稍后重试", "completed": "已完成", "cancelled": "已取消",
	"discarded": "已放弃", "pending": "等待", attentionDoubt: "结果未知，将自动查询", attentionOpen: "等待人工处理",
	importLoading: "正在读入", importStopped: "已停止", roleLook: "查看", roleDecide: "处理",
	rowRefused: "被拒绝", rowDeleted: "用户已删除会员卡，不再导入",
}

func word(s string) string {
	if w, found := words[s]; found {
		return w
	}
	return s
}
