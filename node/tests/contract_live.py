"""Drives every operation a running node serves through the contracts' own client, which judges each answer.

    contract_live.py TOOLS BASE TOKEN SPEC

TOOLS is the folder of `contract.py`; SPEC is a folder with the node's own documents, `DOOR.json` each. An
answer has to fit what the contract lists for its status; the Node door's contract may grow, so there a status that only the
node's own document lists is let pass. Exit 1 when an answer does not fit or an operation was never called.
"""
import json
import pathlib
import sys

tools, base, token, spec = sys.argv[1:]
sys.path.insert(0, tools)
import contract  # noqa: E402


class Client(contract.Client):
    """Remembers what it called, and knows which statuses the node's own documents add."""

    def __init__(self):
        super().__init__(base, headers={"Authorization": f"Bearer {token}"})
        self.called, self.served, self.wrong = {}, {}, []
        for door in ("network", "workspace", "node"):
            document = json.loads((pathlib.Path(spec) / f"{door}.json").read_text())
            for _, _, operation, _ in contract.operations(document):
                self.served[operation["operationId"]] = (door, set(operation["responses"]))

    def call(self, operation, *args, expect, **kwargs):
        try:
            status, value = super().call(operation, *args, expect=expect, **kwargs)
        except contract.ContractError as error:
            self.wrong.append(str(error))
            return None
        self.called.setdefault(operation, set()).add(status)
        return value

    def validate(self, operation, status, body, value):
        door, own = self.served[operation]
        _, _, _, listed, _ = self.ops[operation]
        if door == "node" and str(status) not in {str(code) for code in listed["responses"]}:
            if str(status) not in own or value.get("status") != status:
                raise contract.ContractError(f"{operation}: status {status} is in no document: {body[:300]!r}")
            return
        super().validate(operation, status, body, value)


node = Client()
no_token = {"Authorization": "Bearer wrong"}
evil = {"Origin": "http://evil.example"}
stranger = {"Host": "evil.example"}

# ---- the Node door
node.call("getHealth", expect=200)
node.call("getReadiness", expect=200)
for operation in ("getNodeStatus", "listNodePeers", "getMetrics", "listNodeWorkspaces"):
    node.call(operation, expect=200)
    node.call(operation, headers=no_token, expect=401)
    node.call(operation, headers=evil, expect=403)
    node.call(operation, headers=stranger, expect=421)
workspace = node.call("createNodeWorkspace", json_body={"name": "garden"}, expect=201)["id"]
node.call("createNodeWorkspace", json_body={"name": ""}, expect=400)
node.call("createNodeWorkspace", raw=b" " * (5 << 20), expect=413)
at = {"workspace_id": workspace}
nowhere = {"workspace_id": "ws_nowhere"}
node.call("getNodeWorkspace", path=at, expect=200)
node.call("getNodeWorkspace", path=nowhere, expect=404)
invite = node.call("createInvite", path=at, json_body={"role": "guest", "max_uses": 2}, expect=201)
node.call("createInvite", path=at, json_body={"max_uses": 0}, expect=400)
node.call("createInvite", path=nowhere, json_body={}, expect=404)
node.call("joinWorkspace", json_body={"ticket": "nonsense"}, expect=400)
node.call("revokeInvite", path={**at, "invite_id": invite["invite_id"]}, expect=204)
node.call("revokeInvite", path={**at, "invite_id": "inv_nothing"}, expect=404)
members = node.call("listMemberNodes", path=at, expect=200)["members"]
node.call("listMemberNodes", path=nowhere, expect=404)
node.call("removeMemberNode", path={**at, "peer_id": members[0]["peer_id"]}, expect=403)
node.call("removeMemberNode", path={**at, "peer_id": "nobody"}, expect=404)
able = [{"id": "fix", "summary": "Fixes", "outcome": "A patch", "version": "1.0.0", "requirements": ["git"]}]
for name in ("coder", "reviewer", "writer"):
    node.call("registerNetworkAgent", path=at, json_body={"name": name, "capabilities": able}, expect=201)
node.call("registerNetworkAgent", path=at, json_body={"name": "coder"}, expect=409)
node.call("registerNetworkAgent", path=at, json_body={"name": "Bad Name"}, expect=400)
session = {"agent_name": "writer", "channel": "attic"}
writer = node.call("startNetworkSession", path=at, json_body=session, expect=201)["id"]
node.call("startNetworkSession", path=at, json_body={**session, "agent_name": "nobody"}, expect=404)
node.call("startNetworkSession", path=at, json_body={**session, "channel": "BAD!"}, expect=400)
node.call("stopNetworkSession", path={**at, "session_id": "nothing"}, expect=404)
copy = str(pathlib.Path(spec).resolve() / "copy.redb")
node.call("createBackup", json_body={"path": copy}, expect=201)
node.call("createBackup", json_body={"path": copy}, expect=400)

# ---- the Network door
network = [name for name, (door, _) in node.served.items() if door == "network"]
builders = {**at, "channel": "builders"}
create = {"channel": "builders", "workspace_id": workspace, "purpose": "to build", "agent_names": ["coder", "reviewer"]}
detail = node.call("createNetworkChannel", path=at, json_body=create, expect=201)["channel"]
sessions = {one["agent_name"]: one["id"] for one in detail["sessions"]}
peers = {one["display_name"]: one["peer_id"] for one in detail["peers"]}
for wrong in ({"purpose": " "}, {"agent_names": []}, {"agent_names": ["nobody"]}, {"channel": "BAD!"}, {"workspace_id": "other"}):
    node.call("createNetworkChannel", path=at, json_body={**create, **wrong}, expect=400)
node.call("createNetworkChannel", path=nowhere, json_body=create, expect=404)
node.call("createNetworkChannel", path=at, raw=b" " * (5 << 20), expect=413)

say = {"session_id": sessions["coder"], "channel": "builders", "kind": "say", "surface": "thread",
       "thread_id": "thread_one", "body": {"text": "hello"}, "id": "m-1"}
node.call("sendNetworkMessage", path=at, json_body=say, expect=200)
node.call("sendNetworkMessage", path=at, json_body=say, expect=200)
full = {**say, "id": "m-2", "to": peers["reviewer"], "reply_to": "m-1", "trace_id": "t", "causation_id": "c",
        "expires_at": 4_000_000_000, "ext": {"agh.workflow_id": "w"}, "workspace_id": workspace,
        "body": {"text": "hello you", "intent": "greet", "artifacts": []}}
node.call("sendNetworkMessage", path=at, json_body=full, expect=200)
node.call("sendNetworkMessage", path=at, json_body={**say, "body": {"text": "other"}}, expect=409)
for wrong, status in (({"kind": "recipe"}, 400), ({"body": {"text": "token=abcdefghijklmnopqrst"}}, 400), ({"session_id": "s"}, 404),
                      ({"channel": "attic"}, 404), ({"to": "nobody.sess-0"}, 404), ({"body": {"text": "x" * (1 << 20)}}, 413)):
    node.call("sendNetworkMessage", path=at, json_body={**say, "id": "m-3", **wrong}, expect=status)
node.call("sendNetworkMessage", path=at, raw=b"{", expect=400)
node.call("sendNetworkMessage", path=at, raw=b" " * (5 << 20), expect=413)
node.call("sendNetworkMessage", path=nowhere, json_body=say, expect=404)

directs = {"session_id": sessions["coder"], "peer_id": peers["reviewer"]}
room = node.call("resolveNetworkDirectRoom", path=builders, json_body=directs, expect=200)["direct"]["direct_id"]
direct = {**builders, "direct_id": room}
node.call("listNetworkDirectRoomMessages", path=direct, expect=200)
for wrong, status in (({"session_id": " "}, 400), ({"peer_id": "Bad Peer"}, 400), ({"peer_id": peers["coder"]}, 400),
                      ({"session_id": "nothing"}, 404), ({"peer_id": "nobody.sess-0"}, 404)):
    node.call("resolveNetworkDirectRoom", path=builders, json_body={**directs, **wrong}, expect=status)
node.call("resolveNetworkDirectRoom", path={**nowhere, "channel": "builders"}, json_body=directs, expect=404)
node.call("resolveNetworkDirectRoom", path=builders, raw=b" " * (5 << 20), expect=413)

alone = {**say, "id": "d-1", "surface": "direct", "direct_id": room, "to": peers["reviewer"], "work_id": "work one"}
alone.pop("thread_id")
back = {**alone, "session_id": sessions["reviewer"], "to": peers["coder"]}
node.call("sendNetworkMessage", path=at, json_body=alone, expect=200)
node.call("getNetworkWork", path={**at, "work_id": "work one"}, expect=200)
for number, (kind, body) in enumerate((
        ("receipt", {"for_id": "d-1", "status": "accepted", "detail": "on it"}),
        ("trace", {"state": "needs_input", "message": "which?"}), ("say", {"text": "this one"}),
        ("trace", {"state": "completed", "message": "done", "result": {"n": 1}, "artifact_refs": ["a"]}))):
    node.call("sendNetworkMessage", path=at, json_body={**back, "id": f"b-{number}", "kind": kind, "body": body}, expect=200)
node.call("getNetworkWork", path={**at, "work_id": "work one"}, expect=200)
node.call("getNetworkWork", path={**at, "work_id": "nothing"}, expect=404)
node.call("getNetworkWork", path={**at, "work_id": "a/b"}, expect=400)
trace = {**back, "kind": "trace", "body": {"state": "failed"}}
for number, (wrong, status) in enumerate((
        (trace, 409), ({**trace, "work_id": "nothing"}, 404), ({**alone, "direct_id": "direct_" + "0" * 32}, 409),
        ({**alone, "to": None}, 400), ({**full, "work_id": "work one"}, 409), ({**say, "work_id": "work two"}, 400))):
    node.call("sendNetworkMessage", path=at, json_body={**wrong, "id": f"w-{number}"}, expect=status)
third = node.call("startNetworkSession", path=at, json_body={**session, "channel": "builders"}, expect=201)["id"]
node.call("sendNetworkMessage", path=at, json_body={**full, "id": "t-1", "work_id": "work two"}, expect=200)
outsider = {**full, "id": "t-2", "work_id": "work two", "session_id": third, "kind": "trace", "body": {"state": "working"}}
node.call("sendNetworkMessage", path=at, json_body=outsider, expect=403)

node.call("listNetworkDirectRooms", path=builders, query={"peer_id": peers["coder"], "limit": 10}, expect=200)
node.call("listNetworkDirectRooms", path={**at, "channel": "nobody"}, expect=200)
node.call("listNetworkDirectRooms", path=builders, query={"limit": 0}, expect=400)
node.call("listNetworkDirectRooms", path=builders, query={"after": "direct_" + "0" * 32}, expect=404)
node.call("getNetworkDirectRoom", path=direct, expect=200)
node.call("getNetworkDirectRoom", path={**direct, "direct_id": "bad"}, expect=400)
node.call("getNetworkDirectRoom", path={**direct, "direct_id": "direct_" + "0" * 32}, expect=404)
node.call("listNetworkDirectRoomMessages", path=direct, query={"after": "d-1", "work_id": "work one"}, expect=200)
node.call("listNetworkDirectRoomMessages", path=direct, query={"before": "b-1", "limit": 1}, expect=200)
node.call("listNetworkDirectRoomMessages", path=direct, query={"kind": "shout"}, expect=400)
node.call("listNetworkDirectRoomMessages", path=direct, query={"after": "m-1"}, expect=404)

for name in network:  # who gets in, the same for all
    path = {"workspace_id": workspace, "channel": "builders", "thread_id": "thread_one", "peer_id": peers["coder"],
            "direct_id": room, "work_id": "work one"}
    body = {} if node.ops[name][1] == "post" else None
    node.call(name, path=path, json_body=body, headers=evil, expect=403)
    node.call(name, path=path, json_body=body, headers=stranger, expect=403)

node.call("getNetworkStatus", expect=200)
node.call("listNetworkChannels", path=at, expect=200)
node.call("listNetworkChannels", path=nowhere, expect=404)
node.call("getNetworkChannel", path=builders, expect=200)
node.call("getNetworkChannel", path={**at, "channel": "nobody"}, expect=404)
node.call("getNetworkChannel", path={**at, "channel": "BAD!"}, expect=400)
node.call("listNetworkThreads", path=builders, expect=200)
node.call("listNetworkThreads", path=builders, query={"limit": 0}, expect=400)
node.call("listNetworkThreads", path=builders, query={"after": "thread_nothing"}, expect=404)
thread = {**builders, "thread_id": "thread_one"}
node.call("getNetworkThread", path=thread, expect=200)
node.call("getNetworkThread", path={**thread, "thread_id": "thread_nothing"}, expect=404)
node.call("getNetworkThread", path={**thread, "thread_id": "bad"}, expect=400)
node.call("listNetworkThreadMessages", path=thread, query={"after": "m-1", "kind": "say", "limit": 10}, expect=200)
node.call("listNetworkThreadMessages", path=thread, query={"before": "m-2"}, expect=200)
node.call("listNetworkThreadMessages", path=thread, query={"before": "m-2", "after": "m-1"}, expect=400)
node.call("listNetworkThreadMessages", path=thread, query={"after": "nothing"}, expect=404)
node.call("listNetworkInbox", path=at, query={"session_id": sessions["reviewer"]}, expect=200)
node.call("listNetworkInbox", path=at, expect=400)
node.call("listNetworkInbox", path=at, query={"session_id": "nothing"}, expect=404)
node.call("listNetworkPeers", path=at, expect=200)
node.call("listNetworkPeers", path=at, query={"channel": "BAD!"}, expect=400)
node.call("listNetworkPeers", path=nowhere, expect=404)
for peer in peers.values():
    node.call("getNetworkPeer", path={**at, "peer_id": peer}, expect=200)
node.call("getNetworkPeer", path={**at, "peer_id": "nobody"}, expect=404)
node.call("getNetworkPeer", path={**at, "peer_id": " "}, expect=400)

# ---- people, bots, keys and streams of the Node door
scopes = ["streams:read", "messages:search", "messages:read", "messages:write", "memos:read", "attachments:read",
          "attachments:write", "users:read", "bot-runtime:write", "bot-invocations:write"]
ada = node.call("createUser", path=at, json_body={"name": "Ada", "email": "ada@example.org"}, expect=201)["id"]
eve = node.call("createUser", path=at, json_body={"name": "Eve", "email": "eve@example.org"}, expect=201)["id"]
node.call("createUser", path=at, json_body={"name": "Ada", "email": "ada@example.org"}, expect=409)
node.call("createUser", path=at, json_body={"name": "", "email": "x"}, expect=400)
bot = node.call("createBot", path=at, json_body={"name": "Helper", "owner_user_id": ada,
                                                 "traits": ["mentionable", "active-scratchpad"]}, expect=201)["id"]
old = node.call("createBot", path=at, json_body={"name": "Old", "owner_user_id": None}, expect=201)["id"]
node.call("createBot", path=at, json_body={"name": "Helper"}, expect=409)
node.call("createBot", path=at, json_body={"name": "X", "traits": ["strong"]}, expect=400)
node.call("archiveBot", path={**at, "bot_id": "nobody"}, expect=404)
node.call("endMembership", path={**at, "user_id": "nobody"}, expect=404)
spare = node.call("createKey", path=at, json_body={"user_id": ada, "scopes": ["users:read"]}, expect=201)
node.call("createKey", path=at, json_body={"user_id": ada, "scopes": []}, expect=400)
node.call("revokeKey", path={**at, "key_id": spare["key_id"]}, expect=204)
node.call("revokeKey", path={**at, "key_id": "nothing"}, expect=404)
room = {"type": "channel", "slug": "office", "description": "Where we sit", "member_ids": [ada, bot, old]}
office = node.call("createStream", path=at, json_body=room, expect=201)["id"]
node.call("createStream", path=at, json_body=room, expect=409)
node.call("archiveBot", path={**at, "bot_id": old}, expect=204)
node.call("createStream", path=at, json_body={"type": "channel", "slug": "NO WAY"}, expect=400)
stream = {**at, "stream_id": office}
node.call("addStreamMember", path=stream, json_body={"member_id": eve}, expect=204)
node.call("addStreamMember", path=stream, json_body={}, expect=400)
node.call("addStreamMember", path=stream, json_body={"member_id": "nobody"}, expect=404)
node.call("removeStreamMember", path={**stream, "member_id": eve}, expect=204)
node.call("removeStreamMember", path={**stream, "member_id": eve}, expect=404)
node.call("archiveStream", path=stream, expect=204)
node.call("unarchiveStream", path=stream, expect=204)
for operation in ("archiveStream", "unarchiveStream"):
    node.call(operation, path={**at, "stream_id": "nothing"}, expect=404)


# ---- the Workspace door
def key_of(whom, what=scopes):
    kind = "bot_id" if whom.startswith("bot_") else "user_id"
    made = node.call("createKey", path=at, json_body={kind: whom, "scopes": what}, expect=201)
    return {"Authorization": "Bearer " + made["key"]}


person, robot, archived = key_of(ada), key_of(bot), key_of(old)
poor = key_of(ada, ["bot-runtime:read"])
here = {"workspaceId": workspace}
sit = {**here, "streamId": office}


def ask(operation, who=person, **kwargs):
    return node.call(operation, headers=who, **kwargs)


for operation, served in node.served.items():  # who gets in, the same for all
    if served[0] != "workspace":
        continue
    method = node.ops[operation][1]
    path = {**here, "streamId": office, "messageId": "msg_x", "memoId": "memo_x", "attachmentId": "attach_x",
            "invocationId": "binv_x"}
    body = {} if method in ("post", "patch") else None
    ask(operation, {"Authorization": "Bearer nobody"}, path=path, json_body=body, expect=401)
    ask(operation, path={**path, "workspaceId": "ws_x"}, json_body=body, expect=403)
    if operation not in ("getMe", "listMyBots"):
        ask(operation, poor, path=path, json_body=body, expect=404)
for who in (person, robot, archived):
    ask("getMe", who, path=here, expect=200)
ask("listMyBots", path=here, expect=200)
ask("listMyBots", path=here, query={"traits": "strong"}, expect=400)
ask("listMyBots", robot, path=here, expect=403)
said = ask("sendMessage", path=sit, json_body={"content": "Hello", "metadata": {"k": "v"}, "clientMessageId": "c"}, expect=201)
said = said["data"]["id"]
ask("sendMessage", robot, path=sit, json_body={"content": "Beep"}, expect=201)
ask("sendMessage", path=sit, json_body={"content": ""}, expect=400)
ask("sendMessage", archived, path=sit, json_body={"content": "x"}, expect=404)
ask("sendMessage", path={**here, "streamId": "stream_x"}, json_body={"content": "x"}, expect=403)
ask("sendMessage", key_of(eve), path=sit, json_body={"content": "x"}, expect=403)
thread = node.call("createStream", path=at, json_body={"type": "thread", "parent_message_id": said}, expect=201)["id"]
ask("sendMessage", path={**here, "streamId": thread}, json_body={"content": "Below"}, expect=201)
ask("listStreams", path=here, expect=200)
ask("listStreams", path=here, query={"query": "off", "type": ["channel", "thread"]}, expect=200)
ask("listStreams", path=here, query={"after": "nonsense"}, expect=400)
for one in (office, thread):
    ask("getStream", path={**here, "streamId": one}, expect=200)
    ask("listMembers", path={**here, "streamId": one}, expect=200)
ask("getStream", path={**here, "streamId": "stream_x"}, expect=403)
ask("listMembers", path=sit, query={"limit": 0}, expect=400)
ask("listMessages", path=sit, query={"limit": 10}, expect=200)
ask("listMessages", path=sit, query={"before": 1, "after": 1}, expect=400)
ask("findMessagesByMetadata", path=here, json_body={"metadata": {"k": "v"}}, expect=200)
ask("findMessagesByMetadata", path=here, json_body={"metadata": {}}, expect=400)
ask("searchMessages", path=here, json_body={"query": "hello", "semantic": True}, expect=200)
ask("searchMessages", path=here, json_body={"query": ""}, expect=400)
message = {**here, "messageId": said}
ask("updateMessage", path=message, json_body={"content": "Hello!"}, expect=200)
ask("updateMessage", path=message, json_body={}, expect=400)
ask("updateMessage", robot, path=message, json_body={"content": "x"}, expect=403)
ask("deleteMessage", robot, path=message, expect=403)
ask("deleteMessage", path=message, expect=204)
ask("deleteMessage", path=message, expect=404)
ask("listUsers", path=here, expect=200)
ask("listUsers", path=here, query={"query": "ada"}, expect=200)
ask("listUsers", path=here, query={"limit": 201}, expect=400)
parts = "multipart/form-data; boundary=xx"
form = (b'--xx\r\nContent-Disposition: form-data; name="%s"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
        b'some text\r\n--xx--\r\n')
file = ask("uploadAttachment", path=here, raw=form % b"file", kind=parts, expect=201)["data"]["id"]
ask("uploadAttachment", path=here, raw=form % b"other", kind=parts, expect=400)
ask("getAttachment", path={**here, "attachmentId": file}, expect=404)
ask("sendMessage", path=sit, json_body={"content": f"See [a](attachment:{file})"}, expect=201)
ask("sendMessage", path=sit, json_body={"content": "See [a](attachment:attach_x)"}, expect=400)
ask("getAttachment", path={**here, "attachmentId": file}, expect=200)
ask("getAttachmentDownloadUrl", path={**here, "attachmentId": file}, expect=200)
ask("searchAttachments", path=here, json_body={"query": "a.txt"}, expect=200)
ask("searchAttachments", path=here, json_body={}, expect=400)
runtime = {"runtimeKind": "custom", "instanceId": "laptop"}
presence = {**runtime, "status": "available", "acceptingInvocations": True, "capabilities": {"supportsStop": True}}
ask("upsertBotRuntimePresence", robot, path=here, json_body=presence, expect=200)
ask("upsertBotRuntimePresence", robot, path=here, json_body={}, expect=400)
ask("upsertBotRuntimePresence", path=here, json_body=presence, expect=403)
shared = node.call("createBot", path=at, json_body={"name": "Shared"}, expect=201)["id"]
session = {**runtime, "runtimeSessionId": "s1", "displayName": "Work"}
for _ in range(2):
    linked = ask("createBotRuntimeSession", robot, path=here, json_body=session, expect=200)["data"]
ask("createBotRuntimeSession", key_of(shared), path=here, json_body=session, expect=400)
ask("createBotRuntimeSession", path=here, json_body=session, expect=403)
pad = {**at, "stream_id": linked["activeStreamId"]}
node.call("archiveStream", path=pad, expect=204)
ask("createBotRuntimeSession", robot, path=here, json_body=session, expect=409)
node.call("unarchiveStream", path=pad, expect=204)
named = {"instanceId": "laptop", "runtimeSessionId": "s1", "displayName": "More work"}
ask("renameBotRuntimeSession", robot, path=here, json_body=named, expect=200)
ask("renameBotRuntimeSession", robot, path=here, json_body={**named, "runtimeSessionId": "s9"}, expect=404)
ask("renameBotRuntimeSession", robot, path=here, json_body={}, expect=400)
ask("renameBotRuntimeSession", path=here, json_body=named, expect=403)
wish = {**runtime, "supportedCapabilities": ["mentionable", "active-scratchpad"]}
ask("claimBotInvocation", robot, path=here, json_body=wish, expect=200)
ask("claimBotInvocation", robot, path=here, json_body={**wish, "supportedCapabilities": []}, expect=400)
ask("claimBotInvocation", path=here, json_body=wish, expect=403)
held = ("renewBotInvocationClaim", "recordBotInvocationStep", "completeBotInvocation", "failBotInvocation")
told = {"stepType": "thinking", "content": "Hm", "finalMessageMarkdown": "Done.", "errorMessage": "no disk"}
for last in ("completeBotInvocation", "failBotInvocation"):
    ask("sendMessage", path=sit, json_body={"content": "@helper, please"}, expect=201)
    work = ask("claimBotInvocation", robot, path=here, json_body=wish, expect=200)["data"]
    mine = {**here, "invocationId": work["id"]}
    holder = {"instanceId": "laptop", "claimToken": work["claimToken"], **told}
    for operation in held:
        ask(operation, robot, path=mine, json_body={}, expect=400)
        ask(operation, path=mine, json_body=holder, expect=403)
        ask(operation, robot, path=mine, json_body={**holder, "claimToken": "1.no"}, expect=404)
    for operation in (*held[:2], last):
        ask(operation, robot, path=mine, json_body=holder, expect=200)
decided = ask("sendMessage", path=sit, json_body={"content": "Decision: sit down #office\n\nAll.\n\n- now"}, expect=201)
decided = decided["data"]["id"]
by_hand = {"title": "Chairs", "abstract": "There are enough.", "knowledge_type": "learning", "tags": ["office"],
           "source_message_ids": [decided]}
node.call("writeMemo", path=at, json_body=by_hand, expect=201)
node.call("writeMemo", path=at, json_body={"title": "Alone", "abstract": "x", "knowledge_type": "context"}, expect=201)
node.call("writeMemo", path=at, json_body={**by_hand, "title": ""}, expect=400)
node.call("writeMemo", path=at, json_body={**by_hand, "source_message_ids": ["msg_x"]}, expect=404)
found = ask("searchMemos", path=here, json_body={}, expect=200)["data"]
node.wrong += [] if len(found) == 3 else [f"{len(found)} memos are found, not 3"]
ask("searchMemos", path=here, json_body={"query": "chairs", "tags": ["office"]}, expect=200)
ask("searchMemos", path=here, json_body={"limit": 0}, expect=400)
for one in found:
    ask("getMemo", path={**here, "memoId": one["memo"]["id"]}, expect=200)
ask("getMemo", path={**here, "memoId": "memo_x"}, expect=404)
node.call("endMembership", path={**at, "user_id": eve}, expect=204)

# ---- the end of a session
node.call("stopNetworkSession", path={**at, "session_id": writer}, expect=204)
node.call("listNetworkSessions", path=at, expect=200)

never = set(node.served) & set(node.ops) - set(node.called) - {"streamNodeEvents"}
node.wrong += [f"{operation} was never answered" for operation in sorted(never)]
for line in node.wrong:
    print(line)
print(f"{len(node.called)} operations, {sum(map(len, node.called.values()))} kinds of answers, {len(node.wrong)} that do not fit")
sys.exit(1 if node.wrong else 0)
