-- GET /: a string is sent as text.
return function()
  return "Try /hello or /hello?name=you\n"
end
