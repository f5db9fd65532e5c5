PRAGMA application_id = 1684239474;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE completed (
    group_id TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, checksum INTEGER NOT NULL, record TEXT,
    PRIMARY KEY (group_id, number)
) WITHOUT ROWID;
INSERT INTO "completed" VALUES('ann',1,'first',8171870970391685188,'{"definition":{"name":"first","kind":"count","target":1},"state":[3,1,0],"completed_at":1767225600000000}');
INSERT INTO "completed" VALUES('bob',1,'first',3231818893545695450,'{"definition":{"name":"first","kind":"count","target":1},"state":[3,1,0],"completed_at":1767225601000000}');
INSERT INTO "completed" VALUES('żółć "x"',1,'first',3392034519254757287,'{"definition":{"name":"first","kind":"count","target":1},"state":[3,1,0],"completed_at":1767225603000000}');
CREATE TABLE definition_sets (hash TEXT PRIMARY KEY, trackers TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "definition_sets" VALUES('485c9c35df7511595697ba9b363cc488','[{"name":"visits","kind":"count","target":[2,4],"limiters":[{"count":5}]},{"name":"spent","kind":"sum","key":"amount","target":[100,1000],"conditions":[{"key":"event","eq":"buy"}]},{"name":"first","kind":"count","target":1},{"name":"rounds","kind":"count","target":[1,3],"limiters":[{"seconds":3600},{"start":1767225600,"end":1798761600}],"loop_forever":true}]');
CREATE TABLE event_ids (
    group_id TEXT NOT NULL, chunk INTEGER NOT NULL, newest INTEGER NOT NULL, count INTEGER NOT NULL,
    checksum INTEGER NOT NULL, ids TEXT NOT NULL, PRIMARY KEY (group_id, chunk)
) WITHOUT ROWID;
INSERT INTO "event_ids" VALUES('ann',1,1795887248243300,2,2784131358377523746,'[["2c1623dc8084a3201a985e9b5ecefb9b",1795887248242822],["2061b4f8ff2248f3cc273a4b46bc8ec7",1795887248243300]]');
INSERT INTO "event_ids" VALUES('bob',1,1795887248243294,1,3463427175430058036,'[["0c59be0ea8b4926e8e56681ab5ee8494",1795887248243294]]');
INSERT INTO "event_ids" VALUES('żółć "x"',1,1795887248243305,1,8617651114695925546,'[["3d630edd289a147e612e861ce79c8c9c",1795887248243305]]');
CREATE TABLE events (
    group_id TEXT NOT NULL, sequence INTEGER NOT NULL, checksum INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (group_id, sequence)
) WITHOUT ROWID;
CREATE TABLE groups (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, set_hash TEXT NOT NULL, ids INTEGER NOT NULL,
    events INTEGER NOT NULL, completed INTEGER NOT NULL, checksum INTEGER NOT NULL, state TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "groups" VALUES('ann',4,'485c9c35df7511595697ba9b363cc488',2784131358377523746,0,8171870970391685188,1066264769388609192,'{"set":"485c9c35df7511595697ba9b363cc488","generation":4,"sequence":8,"delivered":8,"trackers":[[1,2,1,{"stages":1,"limiters":[{"limit":5,"remaining":5}]}],[2,100.25,1,{"stages":1}],[3,1,0,{"completed":true}],[4,2,1,{"stages":1,"limiters":[{"start":1767225600000000,"end":1767229200000000},{"start":1767225600000000,"end":1798761600000000}]}]]}');
INSERT INTO "groups" VALUES('bob',3,'485c9c35df7511595697ba9b363cc488',3463427175430058036,0,3231818893545695450,-1982324178503164340,'{"set":"485c9c35df7511595697ba9b363cc488","generation":4,"sequence":6,"delivered":6,"trackers":[[1,1,0,{"limiters":[{"limit":5,"remaining":4}]}],[2,0,0],[3,1,0,{"completed":true}],[4,1,1,{"stages":1,"limiters":[{"start":1767225601000000,"end":1767229201000000},{"start":1767225600000000,"end":1798761600000000}]}]]}');
INSERT INTO "groups" VALUES('żółć "x"',3,'485c9c35df7511595697ba9b363cc488',8617651114695925546,0,3392034519254757287,-6710964303468958873,'{"set":"485c9c35df7511595697ba9b363cc488","generation":4,"sequence":6,"delivered":6,"trackers":[[1,1,0,{"limiters":[{"limit":5,"remaining":4}]}],[2,0.1,0],[3,1,0,{"completed":true}],[4,1,1,{"stages":1,"limiters":[{"start":1767225603000000,"end":1767229203000000},{"start":1767225600000000,"end":1798761600000000}]}]]}');
CREATE TABLE journal (
    number INTEGER PRIMARY KEY, marks INTEGER NOT NULL, checksum INTEGER NOT NULL, payload TEXT NOT NULL
);
INSERT INTO "journal" VALUES(1,-4435233658559675326,7726429426350131722,'"ann"	5	8	{"set":"485c9c35df7511595697ba9b363cc488","generation":4,"sequence":9,"delivered":8,"trackers":[[1,3,1,{"stages":1,"limiters":[{"limit":5,"remaining":4}]}],[2,100.25,1,{"stages":1}],[3,1,0,{"completed":true}],[4,0,0,{"cycle":1,"stages":2,"limiters":[{"start":1767225700000000,"end":1767229300000000},{"start":1767225600000000,"end":1798761600000000}]}]]}	[["048615f945eb0c33460d9d8c823bfd23",1795887248252654]]	[{"sequence":9,"id":"e35d68fcc69fd438adeb9602dd49073a","code":"stage_completed","number":1,"occurred_at":1767225700000000,"stage":2,"target":3,"progress":3,"times":1,"group":"ann","definition":{"name":"rounds","kind":"count","target":[1,3],"limiters":[{"seconds":3600},{"start":1767225600,"end":1798761600}],"loop_forever":true},"state":[4,0,0,{"cycle":1,"limiters":[{"start":1767225700000000,"end":1767229300000000},{"start":1767225600000000,"end":1798761600000000}]}]}]	
"bob"	4	6	{"set":"485c9c35df7511595697ba9b363cc488","generation":4,"sequence":9,"delivered":6,"trackers":[[1,2,1,{"stages":1,"limiters":[{"limit":5,"remaining":5}]}],[2,1500,1,{"completed":true,"stages":1}],[3,1,0,{"completed":true}],[4,2,1,{"stages":1,"limiters":[{"start":1767225601000000,"end":1767229201000000},{"start":1767225600000000,"end":1798761600000000}]}]]}	[["bd3b3d90ff4a881a2f6166db2d179738",1795887248252818]]	[{"sequence":7,"id":"2c3e500628c5e6a0086ab80570f45c3a","code":"stage_completed","number":0,"occurred_at":1767225701000000,"stage":1,"target":2,"progress":2,"times":1,"group":"bob","definition":{"name":"visits","kind":"count","target":[2,4],"limiters":[{"count":5}]},"state":[1,2,1,{"limiters":[{"limit":5,"remaining":5}]}]},{"sequence":8,"id":"2f2c4967a56968b4c5b7cb0fa639f76c","code":"stage_completed","number":0,"occurred_at":1767225701000000,"stage":1,"target":100,"progress":1500,"times":1,"group":"bob","definition":{"name":"spent","kind":"sum","key":"amount","target":[100,1000],"conditions":[{"key":"event","eq":"buy"}]},"state":[2,1500,1]},{"sequence":9,"id":"852fdbc80dcc9e6b4c05d664e388570d","code":"all_completed","number":0,"occurred_at":1767225701000000,"stage":2,"target":1000,"progress":1500,"times":1,"group":"bob","definition":{"name":"spent","kind":"sum","key":"amount","target":[100,1000],"conditions":[{"key":"event","eq":"buy"}]},"state":[2,1500,1]}]	[{"definition":{"name":"spent","kind":"sum","key":"amount","target":[100,1000],"conditions":[{"key":"event","eq":"buy"}]},"state":[2,1500,1],"completed_at":1767225701000000}]
"cid"	2	0	{"set":"485c9c35df7511595697ba9b363cc488","generation":4,"sequence":6,"delivered":0,"trackers":[[1,1,0,{"limiters":[{"limit":5,"remaining":4}]}],[2,0,0],[3,1,0,{"completed":true}],[4,1,1,{"stages":1,"limiters":[{"start":1767225702000000,"end":1767229302000000},{"start":1767225600000000,"end":1798761600000000}]}]]}	[["5446235d62cc077472888ae78724b7af",1795887248252878]]	[{"sequence":1,"id":"1ba6027c3c85bd06b6850db9cb21f494","code":"added","number":0,"occurred_at":1767225702000000,"stage":1,"target":2,"progress":0,"times":1,"group":"cid","definition":{"name":"visits","kind":"count","target":[2,4],"limiters":[{"count":5}]},"state":[1,0,0,{"limiters":[{"limit":5,"remaining":5}]}]},{"sequence":2,"id":"d77e6d027eec3158bc29b4f948c8db7e","code":"added","number":0,"occurred_at":1767225702000000,"stage":1,"target":100,"progress":0,"times":1,"group":"cid","definition":{"name":"spent","kind":"sum","key":"amount","target":[100,1000],"conditions":[{"key":"event","eq":"buy"}]},"state":[2,0,0]},{"sequence":3,"id":"685952d3aea438affc5b2a0ea99ec1e8","code":"added","number":0,"occurred_at":1767225702000000,"stage":1,"target":1,"progress":0,"times":1,"group":"cid","definition":{"name":"first","kind":"count","target":1},"state":[3,0,0]},{"sequence":4,"id":"2ac9b065eb54e072a1742a31f0a261bc","code":"added","number":0,"occurred_at":1767225702000000,"stage":1,"target":1,"progress":0,"times":1,"group":"cid","definition":{"name":"rounds","kind":"count","target":[1,3],"limiters":[{"seconds":3600},{"start":1767225600,"end":1798761600}],"loop_forever":true},"state":[4,0,0,{"limiters":[{"start":1767225702000000,"end":1767229302000000},{"start":1767225600000000,"end":1798761600000000}]}]},{"sequence":5,"id":"4dbae01a21dfd6e450fb5f520e97377a","code":"all_completed","number":0,"occurred_at":1767225702000000,"stage":1,"target":1,"progress":1,"times":1,"group":"cid","definition":{"name":"first","kind":"count","target":1},"state":[3,1,0]},{"sequence":6,"id":"92cdd8c52585016477dd3c0508276e80","code":"stage_completed","number":0,"occurred_at":1767225702000000,"stage":1,"target":1,"progress":1,"times":1,"group":"cid","definition":{"name":"rounds","kind":"count","target":[1,3],"limiters":[{"seconds":3600},{"start":1767225600,"end":1798761600}],"loop_forever":true},"state":[4,1,1,{"limiters":[{"start":1767225702000000,"end":1767229302000000},{"start":1767225600000000,"end":1798761600000000}]}]}]	[{"definition":{"name":"first","kind":"count","target":1},"state":[3,1,0],"completed_at":1767225702000000}]
');
CREATE TABLE marks (name TEXT PRIMARY KEY, checksum INTEGER NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "marks" VALUES('input:/data/a.ndjson',3499487390614319815,'{"offset":274,"line":4,"head":"f7ea5c09dcaf8b612c9ea389d8a59944","head_bytes":274,"group-by":"user","time":"at","id":"id"}');
INSERT INTO "marks" VALUES('input:/data/b.ndjson',434653086593974925,'{"offset":181,"line":3,"head":"ba6e133c46c91b248c2723cf74e3c060","head_bytes":181,"group-by":"user","time":"at","id":"id"}');
INSERT INTO "marks" VALUES('run:trackers',-8369374135767970066,'{"trackers":[{"name":"visits","kind":"count","target":[2,4],"limiters":[{"count":5}]},{"name":"spent","kind":"sum","key":"amount","target":[100,1000],"conditions":[{"key":"event","eq":"buy"}]},{"name":"first","kind":"count","target":1},{"name":"rounds","kind":"count","target":[1,3],"limiters":[{"seconds":3600},{"start":1767225600,"end":1798761600}],"loop_forever":true}],"update":false}');
CREATE TABLE owner (token TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL, since INTEGER NOT NULL);
CREATE TABLE totals (
    journal INTEGER NOT NULL, groups INTEGER NOT NULL, events INTEGER NOT NULL, marks INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
INSERT INTO "totals" VALUES(0,-7627023712583514021,0,-4435233658559675326,7688698604730449920);
CREATE VIEW trackers AS
    SELECT groups.id AS group_id,
           definition.value ->> 'name' AS name,
           definition.value ->> 'kind' AS kind,
           state.value ->> 1 AS progress,
           CASE json_type(definition.value, '$.target')
               WHEN 'array' THEN definition.value -> 'target' ->> (state.value ->> 2)
               ELSE definition.value ->> 'target' END AS target,
           (state.value ->> 2) + 1 AS stage,
           CASE WHEN state.value -> 3 ->> 'completed' THEN 'completed'
                WHEN state.value -> 3 ->> 'limited' THEN 'limited'
                ELSE 'active' END AS status,
           definition.value AS definition,
           state.value AS state
    FROM groups
    JOIN definition_sets ON definition_sets.hash = groups.set_hash
    JOIN json_each(definition_sets.trackers) AS definition
    JOIN json_each(groups.state, '$.trackers') AS state ON state.key = definition.key;
COMMIT;
