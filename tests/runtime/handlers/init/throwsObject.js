throw { some: 'object' };
