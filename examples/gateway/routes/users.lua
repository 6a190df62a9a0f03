-- As they come: /users/... of the gateway is /users/... of the service.
return {
  ["ANY /{rest:path}"] = { proxy = { to = "users", headers = { authorization = false } } },
}
