-- Tells what HAProxy read once a request is whole.
local function shown(text)
    if text == nil or text == "" then return "-" end
    return (text:gsub('[%c"\\\128-\255]', function(byte) return ("\\x%02X"):format(byte:byte()) end))
end

local function all(values)
    if values == nil then return nil end
    local list = {}
    for index = 0, #values do list[#list + 1] = values[index] end
    return table.concat(list, ", ")
end

core.register_service("seen", "http", function(applet)
    local body = applet:receive()
    local host = (all(applet.headers["host"]) or ""):lower():gsub(":%d*$", "")
    local line = table.concat({ shown(applet.method), shown(applet:get_var("txn.target")),
        shown(applet:get_var("txn.path")), shown(host), shown(all(applet.headers["x-forwarded-client-cert"])),
        shown(body) }, "\t")
    local file = assert(io.open("PLACE/seen", "a"))
    file:write(line, "\n")
    file:close()
    applet:set_status(200)
    applet:add_header("content-length", "4")
    applet:start_response()
    if applet.method ~= "HEAD" then applet:send("seen") end
end)
