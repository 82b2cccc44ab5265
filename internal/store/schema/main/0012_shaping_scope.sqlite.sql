-- What a reaction stops, when it is less than its lane: scope '' the lane (or one customer of it), 'sender' what customer sends in the name of the domain
-- target, 'stream' what customer sends with the login target, 'route' what goes to the exchangers of the route target.
ALTER TABLE shaping_reaction ADD COLUMN scope  TEXT NOT NULL DEFAULT '';
ALTER TABLE shaping_reaction ADD COLUMN target TEXT NOT NULL DEFAULT '';
