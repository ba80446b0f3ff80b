module github.com/wechatpay-cards/membercard/examples/cluster

go 1.26.0

require (
	github.com/go-redis/redis_rate/v10 v10.0.1
	github.com/redis/go-redis/v9 v9.23.0
	github.com/stretchr/testify v1.12.1
	github.com/wechatpay-cards/membercard v0.0.0
	github.com/wechatpay-cards/membercard/examples/bulk v0.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/wechatpay-apiv3/wechatpay-go v0.2.21 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace (
	github.com/wechatpay-cards/membercard => ../../
	github.com/wechatpay-cards/membercard/examples/bulk => ../bulk
)
