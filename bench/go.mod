module github.com/wechatpay-cards/membercard/bench

go 1.26.0

require (
	github.com/go-pay/gopay v1.5.114
	github.com/wechatpay-apiv3/wechatpay-go v0.2.21
	github.com/wechatpay-cards/membercard v0.0.0
	github.com/wechatpay-cards/membercard/examples/hsm v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/go-pay/crypto v0.0.1 // indirect
	github.com/go-pay/errgroup v0.0.3 // indirect
	github.com/go-pay/smap v0.0.2 // indirect
	github.com/go-pay/util v0.0.4 // indirect
	github.com/go-pay/xlog v0.0.3 // indirect
	github.com/go-pay/xtime v0.0.2 // indirect
	github.com/golang-fips/openssl/v2 v2.0.3 // indirect
)

replace github.com/wechatpay-cards/membercard => ..

replace github.com/wechatpay-cards/membercard/examples/hsm => ../examples/hsm/
